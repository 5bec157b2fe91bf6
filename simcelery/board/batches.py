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
    """What each step returned, until there is nothing more to do or `longest` seconds have passed.

    Parameters:
        step: does at most this many rows, in a transaction of its own, and returns how many it did.
        more: whether there may be more to do after what a step returned; None: while a step did all it could.
    """
    until = time.monotonic() + longest
    while time.monotonic() < until:
        found = step(rows)
        yield found
        if not (more(found) if more else found == rows):
            return
