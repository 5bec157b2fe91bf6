"""The soft time limit: an exception inside the workflow, and nowhere else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from celery.exceptions import SoftTimeLimitExceeded


@contextmanager
def soft_limit(seconds: float | None) -> Iterator[None]:
    """Raise `SoftTimeLimitExceeded` in the block after `seconds`; None: never.

    It uses the alarm signal. Time spent waiting for a claim, or for the board to take a result, does not
    count. A workflow that uses that signal itself gets no soft limit; it is still killed at the hard limit.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def strike(number: int, frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded(seconds)

    former = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
