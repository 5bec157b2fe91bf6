"""What a workflow may raise to steer its own job."""

from __future__ import annotations

from datetime import timedelta


class Retry(Exception):
    """Raised by a workflow: end this attempt as an error, and try again if attempts are left.

    It overrides ``retry_on``: the job is tried again whatever that lists. Attempts are bounded by
    ``max_attempts`` all the same.

    Parameters:
        message: why, for the record.
        delay: seconds (or a timedelta) until the next attempt; default: the workflow's back-off.
    """

    def __init__(self, message: str = "", *, delay: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else delay


class Fail(Exception):
    """Raised by a workflow: the job has failed for good, whatever attempts are left.

    Parameters:
        message: why, for the record.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
