"""How long tests wait before they call something a failure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

# A machine under load is no failure: there, everything may take so many times longer.
FACTOR = float(os.environ.get("TEST_TIMEOUT_FACTOR", "1"))


def within(seconds: float) -> float:
    """So many seconds on an idle machine, more where `TEST_TIMEOUT_FACTOR` says so."""
    return seconds * FACTOR


def wait_until(condition: Callable[[], object], timeout: float = 60, every: float = 0.05) -> None:
    """Wait until the condition holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + within(timeout)
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(every)
