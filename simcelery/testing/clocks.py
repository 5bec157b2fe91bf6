"""The board's clock, which is Postgres's: not it moves, but everything else."""

from __future__ import annotations

from datetime import timedelta

from simcelery.board import engine, for_tests
from simcelery.errors import ServiceError, UsageError
from simcelery.quantities import parse_duration
from simcelery.testing.workers import Worker

_TRIES = 5


class Clock:
    """Lets time pass on the board.

    All times on the board move into the past, in one transaction: what was to begin in two days is due, and
    a lease that nobody renews has expired. Live workers keep theirs, as they would have renewed. The clock
    of Python and of the system stays: a time that you give afterwards counts from the real one.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def advance(self, by: str | float | timedelta) -> None:
        """Let so much time pass.

        Parameters:
            by: such as ``"2d"``, ``"1h30m"`` or a number of seconds.

        Raises:
            UsageError: it is no duration.
        """
        try:
            seconds = parse_duration(by)
        except ValueError as error:
            raise UsageError(f"clock.advance: {error}") from None
        if seconds < 0:
            raise UsageError("clock.advance: time does not go back")
        for more in reversed(range(_TRIES)):
            try:
                with engine.begin() as connection:
                    for_tests.let_pass(connection, seconds, self._worker.live(connection))
                return
            except ServiceError:  # a real worker and this transaction waited for each other
                if not more:
                    raise
