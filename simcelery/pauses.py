"""Growing pauses between retries, with jitter: those who wait for the same thing do not stay in step."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

# Nobody else's: to wait costs a simulation none of the numbers that it has seeded, and makes no two equal.
_random = random.SystemRandom()
_SPREAD = 0.15


def growing(first: float, longest: float, until: float = math.inf, factor: float = 1.5) -> Iterator[float]:
    """Seconds to wait, each time longer, give or take 15 %; to begin anew, ask for new ones.

    Parameters:
        longest: what they grow to.
        until: of ``time.monotonic()``: the last pause ends then, and there is none after it.
    """
    pause = first
    while (left := until - time.monotonic()) > 0:
        yield min(pause * _random.uniform(1 - _SPREAD, 1 + _SPREAD), left)
        pause = min(pause * factor, longest)
