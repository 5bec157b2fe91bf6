"""What a workflow may raise to steer its own job."""

from __future__ import annotations

from datetime import timedelta

from simcelery.quantities import parse_duration


class Retry(Exception):
    """Raised by a workflow: this attempt has failed; try again if attempts are left.

    The job is tried again whatever ``retry_on`` lists, but never more often than ``max_attempts`` says.

    Parameters:
        message: why, for the record.
        delay: seconds, ``"1h30m"`` or a timedelta until the next attempt. By default ``retry_delay`` decides.

    Raises:
        ValueError: the delay is not a duration.
    """

    def __init__(self, message: str = "", *, delay: float | str | timedelta | None = None) -> None:
        super().__init__(message)
        self.delay = None if delay is None else parse_duration(delay)


class Fail(Exception):
    """Raised by a workflow: the job has failed for good, whatever attempts are left.

    Parameters:
        message: why, for the record.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
