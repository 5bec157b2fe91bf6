"""The resources of the node that an attempt used."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """CPU time in seconds, and the largest resident memory in bytes, children that ended included."""

    cpu_seconds: float
    peak_memory: int


class Meter:
    """Measures from its making on.

    The kernel keeps the peak of a process for its whole life, so a small job after a large one in the same
    pool child reports the larger peak: an upper bound.
    """

    def __init__(self) -> None:
        self._start, _ = _now()

    def read(self) -> Usage:
        """The usage since then."""
        unit = 1 if sys.platform == "darwin" else 1024
        cpu, peak = _now()
        return Usage(cpu - self._start, peak * unit)


def _now() -> tuple[float, int]:
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return cpu, max(own.ru_maxrss, ended.ru_maxrss)
