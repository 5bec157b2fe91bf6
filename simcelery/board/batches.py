"""Process many rows, a thousand at a time, so that no transaction is long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

ROWS = 1000


def batches(
    step: Callable[[int], T],
    longest: float = math.inf,
    more: Callable[[T], bool] | None = None,
    rows: int = ROWS,
) -> Iterator[T]:
    """What each step found, until there is nothing more to do or `longest` seconds are over.

    Parameters:
        step: does at most so many rows, in a transaction of its own, and returns how many it did.
        more: whether there may be more after what a step found; None: while it is as many as it may be.
    """
    until = time.monotonic() + longest
    while time.monotonic() < until:
        found = step(rows)
        yield found
        if not (more(found) if more else found == rows):
            return
