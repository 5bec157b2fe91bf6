"""One attempt that the parent watches over: when it is due to end, and how it is ended.

It always goes the same way: an order in the child's slot, SIGTERM to all processes of the attempt, time to
clean up, then SIGKILL until none is found, and only then a row on the board. A child that follows the order
ends its own processes and reports itself.
"""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil

from simcelery.board.values import EndedAttempt
from simcelery.execution import processes
from simcelery.execution.ending import EndedProcesses, end
from simcelery.settings import Settings
from simcelery.worker import folders
from simcelery.worker.outcomes import reports
from simcelery.worker.parent.memory_watch import MemoryWatch
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running

log = logging.getLogger(__name__)

_SLACK = 1.0  # what a child that has cleaned up in time gets to report itself


@dataclass(frozen=True)
class WindDown:
    """When an attempt is ended that was warned before, and why."""

    at: float
    order: Order


@dataclass(frozen=True)
class _Stop:
    """An attempt on its way out: since when, and what is written if its child cannot say so itself."""

    since: float
    report: EndedAttempt


class Watched:
    """Made when it is first found in a slot, and kept until its end is seen to.

    Parameters:
        memory: how much its processes use.
        write: takes the attempt and its report, when all its processes have ended.
        release: takes the attempt when its child has been killed here, which may have held others beside it.

    Attributes:
        running: what its slot said last.
        child_is_dead: the pool has lost its child.
        kill_unseen: its child was killed here, which the pool has yet to notice.
    """

    def __init__(
        self,
        running: Running,
        slots: Slots,
        settings: Settings,
        memory: MemoryWatch,
        write: Callable[[Running, EndedAttempt], object],
        release: Callable[[Running], object],
    ) -> None:
        self.running = running
        self.child_is_dead = self.kill_unseen = False
        self._slots = slots
        self._settings = settings
        self._memory = memory
        self._write = write
        self._release = release
        self._warned_until: float | None = None
        self._hurried = False
        self._stop: _Stop | None = None

    @property
    def claim_id(self) -> uuid.UUID:
        """Its claim."""
        return self.running.claim_id

    @property
    def is_stopping(self) -> bool:
        """Whether it is on its way out."""
        return self._stop is not None

    def look(self, now: float, runs: bool, wind_down: WindDown | None) -> bool:
        """One look; whether there is anything left to watch.

        Parameters:
            runs: whether a slot tells of it now.
            wind_down: of the whole worker.
        """
        with self.running.in_log():
            if self._stop is not None:
                self._go_on_stopping(self._stop, now)
            elif runs:
                self._end_if_due(now, wind_down)
        return runs or self.is_stopping or self.kill_unseen

    # --- what is due ---

    def _end_if_due(self, now: float, wind_down: WindDown | None) -> None:
        if self.running.phase in (Phase.CLAIMING, Phase.FINISHING):
            self._hurry_if_due(now, wind_down)
        elif self._memory.exceeds(self.running):
            self.stop(Order.OUT_OF_MEMORY, now)
        elif self.running.deadline <= now:
            self.stop(Order.TIME_LIMIT, now)
        elif wind_down is not None:
            self._wind_down(now, wind_down)
        elif self.running.warned:
            # Somebody signals the child alone: it gets the same grace, and this worker goes on.
            self._warned_until = self._warned_until or now + self._settings.shutdown_grace
            self._wind_down(now, WindDown(self._warned_until, Order.SHUTDOWN))

    def _hurry_if_due(self, now: float, wind_down: WindDown | None) -> None:
        """A child that waits for Postgres when the worker must end leaves its outcome in the spool."""
        if wind_down is not None and now >= wind_down.at and not self._hurried:
            self._hurried = True
            self._tell(Order.SHUTDOWN)

    def _wind_down(self, now: float, wind_down: WindDown) -> None:
        if now >= wind_down.at:
            self.stop(wind_down.order, now)
        elif self._warned_until is None:
            self._warned_until = wind_down.at
            self._tell(Order.WARN)

    def _tell(self, order: Order) -> None:
        self._slots.give(self.running, order)
        send(self.running.pid, signal.SIGTERM)

    # --- how it is ended ---

    def stop(self, order: Order, now: float) -> None:
        """Begin to end it, unless that has begun: the order, and SIGTERM to all its processes."""
        if self.is_stopping:
            return
        running = self.running
        log.debug("job %s, attempt %s is ended: %s", running.job_id, running.attempt, order.name)
        others = self._processes()
        self._slots.give(running, order, len(others))
        self._stop = _Stop(now, self._report(order, len(others)))
        for pid in (*(other.pid for other in others), running.pid):
            send(pid, signal.SIGTERM)

    def _report(self, order: Order, processes: int) -> EndedAttempt:
        running = self.running
        if order is Order.OUT_OF_MEMORY:
            used = self._memory.of(running)[0]
            return reports.out_of_memory(used, running.memory or 0, retry_in=running.memory_retry_in)
        return reports.ended_by(order, retry_in=running.retry_in, processes=processes)

    def mourn(self, report: EndedAttempt, now: float) -> None:
        """Its child is dead; what it started is ended before the board is told.

        Parameters:
            report: unless it was on its way out for another reason.
        """
        self.child_is_dead = True
        self._stop = self._stop or _Stop(now, report)
        for process in self._processes():
            send(process.pid, signal.SIGTERM)

    def _go_on_stopping(self, stop: _Stop, now: float) -> None:
        waited = now - stop.since
        if not self.child_is_dead and self._has_left():
            self._stop = None
        elif self.child_is_dead and not self._processes():
            self._close(stop, None)
        elif waited > self._settings.kill_grace + (0 if self.child_is_dead else _SLACK):
            self._kill(stop)

    def _has_left(self) -> bool:
        """Whether its child has followed, and reports the end itself."""
        now = self._slots.of_claim(self.claim_id)
        return now is None or now.phase is Phase.FINISHING

    def _kill(self, stop: _Stop) -> None:
        child = self.running.pid
        if not self.child_is_dead:
            # Stopped, it cannot move on between our look at its slot and the kill.
            send(child, signal.SIGSTOP)
            if self._has_left():
                send(child, signal.SIGCONT)
                return
        found = self._processes()  # before its death: its descendants are still its own
        if not self.child_is_dead:
            self.kill_unseen = True
            send(child, signal.SIGKILL)
        ended = end(lambda: [*found, *self._processes()], 0.0)
        if self.kill_unseen:
            self._release(self.running)
        self._close(stop, ended)

    def _close(self, stop: _Stop, ended: EndedProcesses | None) -> None:
        running, report = self.running, stop.report
        if ended is not None and ended.left:
            log.error("job %s: %s", running.job_id, ended)
            report = replace(report, error_message=f"{report.error_message or 'ended'}; {ended}")
        self._stop = None
        self._slots.clear(running)
        workdir = folders.left_by(running.job_id, running.attempt, running.claim_id)
        peak = self._memory.of(running)[1] or None
        self._write(running, replace(report, seed=running.seed, workdir=workdir, peak_memory=peak))

    def _processes(self) -> list[psutil.Process]:
        """All that the attempt has started."""
        running = self.running
        return processes.members(running.pid, self._slots.mark(running.job_id, running.attempt))


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to signal process %s", pid)
