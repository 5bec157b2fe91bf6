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
    found = 0
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            found += alive and " ".join(process.cmdline()) == words
        except psutil.Error:
            continue
    return found
