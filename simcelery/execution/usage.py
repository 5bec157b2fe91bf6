"""The resources of the node that an attempt used."""

from __future__ import annotations

import resource
import sys
import time
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
        self._own, self._children = time.process_time(), _of_children(_ended())

    def read(self) -> Usage:
        """The usage since then."""
        unit = 1 if sys.platform == "darwin" else 1024
        ended, peak = _ended(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = time.process_time() - self._own + _of_children(ended) - self._children
        return Usage(cpu, max(peak, ended.ru_maxrss) * unit)


def _ended() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


def _of_children(ended: resource.struct_rusage) -> float:
    return ended.ru_utime + ended.ru_stime
