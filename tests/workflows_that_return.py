"""Workflows that do their work and then return what cannot be stored; copied as ``returns``."""

from __future__ import annotations

import io
import linecache
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from simcelery import current_job, workflow


class Reducible:
    def __reduce__(self):
        raise RuntimeError("not today")


class Undescribed(Reducible):
    def __repr__(self):
        raise RuntimeError("no words")


class Broken:
    energy = -3.5

    def as_dict(self):
        raise ValueError("no cell yet")


class Leaving(Broken):
    def as_dict(self):
        raise SystemExit("bye")


class Endless(Broken):
    def as_dict(self):
        return self.as_dict()


class Hanging(Broken):
    def as_dict(self):
        time.sleep(600)


def deep(levels):
    value = -3.5
    for _ in range(levels):
        value = [value]
    return value


class Local:
    def made(self):
        class Inner:
            def __init__(self):
                self.energy = -3.5

        return Inner()


RESULTS = {
    "function": lambda: {"energy": -3.5, "f": lambda: 0},
    "lock": lambda: {"energy": -3.5, "lock": threading.Lock()},
    "generator": lambda: {"energy": -3.5, "all": (i for i in range(3))},
    "NUL": lambda: {"energy": -3.5, "text": "a\0b"},
    "surrogate": lambda: {"energy": -3.5, "text": "a\ud800b"},
    "object": lambda: {"energy": -3.5, "what": object()},
    "local class": lambda: {"energy": -3.5, "what": Local().made()},
    "reduce": lambda: {"energy": -3.5, "what": Reducible()},
    "no words": lambda: {"energy": -3.5, "what": Undescribed()},
    "as_dict": lambda: {"energy": -3.5, "what": Broken()},
    "leaves": lambda: {"energy": -3.5, "what": Leaving()},
    "endless": lambda: {"energy": -3.5, "what": Endless()},
    "deep": lambda: deep(200),
    "very deep": lambda: deep(50_000),
    "large": lambda: "x" * 2_000_000,
    "huge array": lambda: np.full(30_000_000, -3.5),
    "masked": lambda: np.ma.masked_array([-3.5], mask=[True]),
    "digits": lambda: 10**5000,
}


@workflow(max_attempts=3, retry_delay=0, retry_on=Exception)
def gives(what: str) -> Any:
    return RESULTS[what]()


@workflow(max_attempts=3, retry_delay=0, cwd="worker")
def gives_elsewhere(what: str) -> Any:
    return RESULTS[what]()


@workflow(max_attempts=3, retry_delay=0, time_limit=1)
def gives_slowly() -> Any:
    return Hanging()


@workflow(max_attempts=3, retry_delay=0)
def spoils(how: str) -> Any:
    """Its own folder, before it returns what cannot be stored."""
    folder = Path.cwd()
    if how == "taken":
        Path("result.pickle").write_text("my own")
    else:
        os.rmdir(folder)
    if how == "blocked":
        folder.write_text("in the way")
    return threading.Lock()


class Stdout(io.StringIO):
    def flush(self):
        raise RuntimeError("no flush")


@workflow(max_attempts=3, retry_delay=0)
def finishes(how: str) -> float:
    """Its work, whatever is wrong beside it."""
    if how == "progress":
        for done in ("a lot", None, object(), np.zeros(3), [1], float("nan"), 10**5000, -1, True):
            current_job()._reported_at = float("-inf")
            current_job().progress(done, 10, message=object())
            current_job().progress(1, done, "a\0b\ud800" * 100_000)
    if how == "stdout":
        sys.stdout = Stdout()
    if how == "closed log":
        os.closerange(1, 3)
    if how == "source":
        Path(__file__).write_text("def (")
        linecache.clearcache()
    return -3.5


class Wordless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Left(Exception):
    def __str__(self):
        raise SystemExit("bye")


@workflow
def raises(how: str) -> None:
    """An exception that cannot say what it is."""
    if how == "words":
        raise Wordless
    if how == "leaves":
        raise Left
    raise type("B\ud800d" * 2000, (Exception,), {})("x")


class Late:
    """Takes longer to say what it is than its workflow may run, and less than until the kill."""

    def as_dict(self):
        time.sleep(1.5)
        return {"energy": -3.5}


@workflow(max_attempts=3, retry_delay=0, time_limit=1)
def gives_late() -> Any:
    """Returns in time."""
    return Late()
