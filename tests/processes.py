"""Looking for the processes that jobs of the tests start."""

from __future__ import annotations

import itertools
import os

import psutil

_numbers = itertools.count(1)


def sleeper() -> str:
    """A number of seconds that no other ``sleep`` on this machine has."""
    return f"{300 + os.getpid() % 1000}.{next(_numbers):04}"


def command_alive(words: str) -> int:
    """How many processes with this command line live, zombies not counted."""
    return sum(command_of(process) == words for process in psutil.process_iter())


def command_of(process: psutil.Process) -> str:
    """Its command line; empty for a zombie, or when it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
