"""What an attempt used of the node."""

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
        self._start = _cpu()

    def read(self) -> Usage:
        """The usage since then."""
        unit = 1 if sys.platform == "darwin" else 1024
        peak = max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return Usage(_cpu() - self._start, peak * unit)


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
