"""The open descriptors of a process: whether a job left any behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from simcelery.execution import capture

_HAS_NAMES = os.path.isdir("/proc/self/fd")
_FOLDER = "/proc/self/fd" if _HAS_NAMES else "/dev/fd"
# Seconds: after a longer job all descriptors are looked at, after a shorter one the lowest free number only.
_SHORT = 0.005
# What leads nowhere by itself; a client of Redis keeps one.
_HARMLESS = ("anon_inode:[eventpoll]",)


class Descriptors:
    """Those that are known. A leak takes the lowest free number: where that has not moved, there is none.

    A leaked one is not closed: its object may live on, and would then read and write what the number
    stands for next, which may be another job's file.
    """

    def __init__(self, is_ours: Callable[[int], bool]) -> None:
        self._is_ours = is_ours
        self._known = _open()
        self._lowest: int | None = None
        self._begun = 0.0
        self._moved = False

    def begin(self) -> None:
        """The job's function is about to be called."""
        self._begun = time.monotonic()
        self._lowest = _lowest_free()

    def end(self) -> None:
        """It has returned; nothing else has been opened or closed since it was called."""
        lowest = _lowest_free()
        self._moved = lowest is None or lowest != self._lowest or time.monotonic() - self._begun > _SHORT

    def left(self) -> list[str]:
        """What is open now, and was not; in words."""
        if not self._moved:
            return []
        # A process that was started and forgotten, as by os.popen(…).read(), is kept with its pipes until
        # the next one is started.
        subprocess._cleanup()  # type: ignore[attr-defined]
        try:
            now = _open()
        except OSError:
            return ["open: more than may be"]
        left = []
        for one in now - self._known - capture.own():
            try:
                name = os.readlink(f"{_FOLDER}/{one}") if _HAS_NAMES else str(one)
                if not self._is_ours(one) and name not in _HARMLESS:
                    left.append(name)
            except OSError:  # another thread of this process has closed it meanwhile
                now.discard(one)
        self._known = now
        return [f"open: {', '.join(sorted(left))}"] if left else []


def _open() -> set[int]:
    found = set()
    for name in os.listdir(_FOLDER):
        with suppress(OSError, ValueError):
            os.fstat(int(name))  # the folder itself was open while it was read
            found.add(int(name))
    return found


def _lowest_free() -> int | None:
    """None: the job closed standard output, or there are no more."""
    try:
        copy = os.dup(1)
    except OSError:
        return None
    os.close(copy)
    return copy
