"""When a worker exits by itself: long idle, enough jobs, the end of its allocation, or nothing left to do.

Near the end of its allocation nothing may be left that it could still finish. Then it leaves early: its cores
are free for others, and the scheduler may start the next allocation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simcelery.board import engine, reads
from simcelery.broker.parking import parked
from simcelery.errors import ServiceError
from simcelery.execution import allocation
from simcelery.settings import Settings
from simcelery.worker.parent.lease import Lease
from simcelery.worker.parent.shutdown import Shutdown
from simcelery.worker.slots.layout import Order
from simcelery.worker.slots.parent import Slots

EVERY = 1.0
_ASK_EVERY = 2.0  # seconds between two questions to the board whether anything is left
# Seconds without a job, while jobs wait that take too long, after which it leaves: so many at most, and this
# share of its walltime.
_MISFITS_FOR, _MISFITS_SHARE = 30.0, 0.05


@dataclass(frozen=True)
class Limits:
    """The worker's options for its own end; durations in seconds, None: no limit.

    Attributes:
        max_idle: exit after this long without a job.
        max_jobs: exit after this many jobs.
        walltime: exit before this much time has passed since the start, warning the jobs in time.
        drain: exit when the worker's queues hold no more jobs of the workflows that it knows.
    """

    max_idle: float | None = None
    max_jobs: int | None = None
    walltime: float | None = None
    drain: bool = False


class Watch:
    """Checks once a second whether a limit is reached.

    Parameters:
        clock: returns the time, in seconds.
    """

    def __init__(
        self,
        limits: Limits,
        slots: Slots,
        shutdown: Shutdown,
        settings: Settings,
        lease: Lease,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._slots = slots
        self._shutdown = shutdown
        self._settings = settings
        self._lease = lease
        self._clock = clock
        now = clock()
        self._busy_at = now
        self._asked_at = {"left": now, "fits": now}
        self._end_at = (
            None if limits.walltime is None else now + allocation.before_warning(limits.walltime, settings)
        )
        self._done = False

    def look(self) -> None:
        """Check once."""
        if self._done:
            return
        now = self._clock()
        idle = not any(True for _ in self._slots.busy())
        if not idle:
            self._busy_at = now
        limits = self._limits
        if self._slots.broken:
            self._end(lambda: self._shutdown.fail("the function named by --startup failed; see the log"))
        elif self._end_at is not None and now >= self._end_at:
            reason = "the allocation ends soon; running jobs are warned"
            self._end(lambda: self._shutdown.wind_up(Order.WALLTIME, reason))
        elif (
            self._slots.jobs_used_up
            or (limits.max_idle is not None and now - self._busy_at >= limits.max_idle)
            or (limits.drain and idle and self._nothing_left(now))
        ):
            self._end(self._shutdown.finish_up)
        elif idle and self._nothing_fits(now):
            self._end(lambda: self._shutdown.finish_up(_EARLY))

    def _end(self, action: Any) -> None:
        self._done = True
        action()

    def _nothing_left(self, now: float) -> bool:
        return self._may_ask("left", now) and not self._asked(reads.anything_left, otherwise=True)

    def _nothing_fits(self, now: float) -> bool:
        """Whether for a while there have been jobs, and none that ends before the allocation does."""
        walltime = self._limits.walltime
        if walltime is None or not parked.any:
            return False
        if now - self._busy_at < min(_MISFITS_FOR, walltime * _MISFITS_SHARE):
            return False
        return self._may_ask("fits", now) and self._asked(reads.only_misfits, otherwise=False)

    def _may_ask(self, name: str, now: float) -> bool:
        if now - self._asked_at[name] < _ASK_EVERY:
            return False
        self._asked_at[name] = now
        return True

    def _asked(self, question: Callable[..., bool], *, otherwise: bool) -> bool:
        """What the board says of the jobs of this worker's lanes; `otherwise`, while it cannot be reached."""
        assert self._lease.me is not None
        try:
            with engine.begin(self._settings) as connection:
                lanes = self._lease.queues, self._lease.workflows
                return question(connection, *lanes, self._lease.me.worker_id)
        except ServiceError:
            return otherwise


_EARLY = "leaving early: jobs wait, but none of them would end before the allocation does"
