"""How much room this process has found in the lanes: each push is answered with the length of the list.

So who submits jobs one at a time need not ask before each of them. Others push too, and what one process
knows is soon wrong: it counts for a moment only, in which each client can push at most one message too many.
"""

from __future__ import annotations

import time

from simcelery.board.values import Lane
from simcelery.settings import get_settings

_KNOWN_FOR = 1.0  # seconds

_lengths: dict[Lane, tuple[int, float]] = {}


def note(lane: Lane, length: int) -> None:
    """So many messages are in this lane now."""
    _lengths[lane] = length, time.monotonic()


def forget(lane: Lane) -> None:
    """Nobody knows any more: the broker is away, or the list cannot be used."""
    _lengths.pop(lane, None)


def is_in(lane: Lane) -> bool:
    """Whether there was room in this lane just now; where that is not known, there is none."""
    length, at = _lengths.get(lane, (0, -_KNOWN_FOR))
    return time.monotonic() - at < _KNOWN_FOR and length < get_settings().publish_window
