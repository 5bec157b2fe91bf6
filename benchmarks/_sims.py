"""The workflows of the benchmarks."""

from __future__ import annotations

import os
import time

import _ready  # noqa: F401 (it listens)

from simcelery import workflow


@workflow(name="bench.noop")
def noop(n: int) -> int:
    """A job that does nothing; short ones travel in slices."""
    return n


@workflow(name="bench.single", slices=False)
def single(n: int) -> int:
    """The same, claimed and finished by itself."""
    return n


@workflow(name="bench.stamp")
def stamp(path: str) -> None:
    """Note when it started, by a clock that all processes of the machine share."""
    now = time.monotonic()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{now}\n".encode())
    os.close(file)


@workflow(name="bench.tally")
def tally(n: int, folder: str) -> None:
    """Leave a line for each execution, whatever becomes of it."""
    with open(f"{folder}/{os.getpid()}", "a") as file:
        file.write(f"{n}\n")


@workflow(name="bench.sleep")
def sleep(seconds: float) -> None:
    """A job that takes its time."""
    time.sleep(seconds)


@workflow(name="bench.total")
def total(numbers: list[int]) -> int:
    """A job that waits for many."""
    return sum(numbers)


@workflow(name="bench.link")
def link(n: int) -> int:
    """A job of a chain."""
    return n + 1
