"""How much memory the jobs before have left in use in this pool child: it is none of the next job's."""

from __future__ import annotations

from simcelery.execution import memory

_at_first = 0


def note() -> None:
    """It has not run any job yet."""
    global _at_first
    _at_first = memory.anonymous()


def bytes_now() -> int:
    """Bytes that have come since; 0 where that is not known."""
    return max(0, memory.anonymous() - _at_first)
