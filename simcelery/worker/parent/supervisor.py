"""The parent's watch over the attempts in its pool children: it ends them, and tells how they ended.

An attempt is ended for being cancelled, running too long, having been given to another worker, or because
this worker shuts down. It always goes the same way: an order in the child's slot, SIGTERM to all processes
of the attempt, time to clean up, then SIGKILL until none is found, and only then a row on the board. A child
that follows the order ends its own processes and reports itself.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from simcelery.board import transitions
from simcelery.board.states import State
from simcelery.board.transitions.finish import Guard
from simcelery.board.values import Account, EndedAttempt, Registration
from simcelery.execution import memory, processes
from simcelery.execution.ending import Ended, end
from simcelery.settings import Settings
from simcelery.worker import folders
from simcelery.worker.outcomes import recording, reports, spool
from simcelery.worker.parent import outbox
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running
from simcelery.worker.ticker import Ticker

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds between two looks at the slots
_LAST_LOOKS = 10.0  # seconds at the end of the worker, beside the grace
_SLACK = 1.0  # what a child that has cleaned up in time gets to report itself


@dataclass
class _Ending:
    """An attempt on its way out."""

    running: Running
    report: EndedAttempt  # what is recorded if the child cannot
    guard: Guard
    since: float
    child_is_dead: bool = False


@dataclass(frozen=True)
class _Death:
    task_id: uuid.UUID
    pid: int
    message: str
    running: Running | None  # what the child's slot said, before its successor has it


class Supervisor:
    """Watches from a thread of its own. Whoever else has something to say to it leaves it in a queue.

    Parameters:
        me: whose attempts these are.
        prefork: whether jobs run in children; in the worker's own process nothing can be ended.
        clock: tells the monotonic time, in seconds.
    """

    def __init__(
        self,
        slots: Slots,
        settings: Settings,
        me: Registration,
        prefork: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._me = me
        self._prefork = prefork
        self._clock = clock
        self._accounts: deque[tuple[dict[uuid.UUID, Running], list[Account]]] = deque()
        self._closing: set[uuid.UUID] = set()  # ended here, and not yet written
        self._endings: dict[uuid.UUID, _Ending] = {}
        self._deaths: deque[_Death] = deque()
        self._killed: set[int] = set()  # children whose death the pool has yet to notice
        self._suspects: set[uuid.UUID] = set()
        self._oom_kills = memory.oom_kills()
        self._end_at: float | None = None
        self._last_order = Order.SHUTDOWN
        self._warned: dict[uuid.UUID, float] = {}
        self._hurried: set[uuid.UUID] = set()
        self._ticker = Ticker("supervisor", self.look, EVERY)

    def start(self) -> None:
        """Watch from now on."""
        self._ticker.start()

    def finish(self) -> None:
        """The pool is gone: end what it left, and stop."""
        self._ticker.stop()
        self._ticker.join(_LAST_LOOKS)
        deadline = time.monotonic() + self._settings.kill_grace + _LAST_LOOKS
        self.look()
        while self._endings and time.monotonic() < deadline:
            time.sleep(EVERY)
            self.look()

    def shut_down(self, grace: float, order: Order = Order.SHUTDOWN) -> None:
        """Claim nothing more, warn what runs, and end it in `grace` seconds. Again: the earlier end counts.

        Called from signal handlers: it only sets attributes.
        """
        end_at = self._clock() + grace
        self._end_at = end_at if self._end_at is None else min(end_at, self._end_at)
        self._last_order = order
        self._slots.drain()

    def close(self) -> None:
        """Claim nothing more; what runs goes on."""
        self._slots.close()

    def child_died(self, task_id: str, pid: int, message: str) -> None:
        """The pool lost a child with a message. Called from the worker's event loop, which must not wait."""
        with suppress(ValueError):  # no job of ours
            self._deaths.append(_Death(uuid.UUID(task_id), pid, message, self._slots.of_pid(pid)))

    def look(self) -> None:
        """One round."""
        self._note_deaths()
        while self._accounts:
            self._settle(*self._accounts.popleft())
        self._end_what_is_due()
        for ending in list(self._endings.values()):
            self._advance(ending)

    # --- what is due ---

    def _end_what_is_due(self) -> None:
        now = self._clock()
        for running in self._slots.busy():
            if running.phase is Phase.WARMING:
                if self._slots.closed:
                    _signal(running.pid, signal.SIGTERM)
            elif running.phase in (Phase.CLAIMING, Phase.FINISHING):
                self._hurry(running, now)
            elif running.deadline <= now:
                self._end(running, Order.TIME_LIMIT)
            elif self._end_at is not None:
                self._wind_down(running, self._end_at, now, self._last_order)
            elif running.warned:
                # Somebody signals the child alone: it gets the same grace, and this worker goes on.
                until = self._warned.setdefault(running.claim_id, now + self._settings.shutdown_grace)
                self._wind_down(running, until, now, Order.SHUTDOWN)

    def _hurry(self, running: Running, now: float) -> None:
        """A child that waits for Postgres when the worker must end leaves its outcome in the spool."""
        if self._end_at is not None and now >= self._end_at and running.claim_id not in self._hurried:
            self._hurried.add(running.claim_id)
            self._slots.give(running, Order.SHUTDOWN)
            _signal(running.pid, signal.SIGTERM)

    def _wind_down(self, running: Running, until: float, now: float, order: Order) -> None:
        if now >= until:
            self._end(running, order)
        elif running.claim_id not in self._warned:
            self._warned[running.claim_id] = until
            self._slots.give(running, Order.WARN)
            _signal(running.pid, signal.SIGTERM)

    # --- ending ---

    def _end(self, running: Running, order: Order) -> None:
        """Begin to end an attempt: the order, and SIGTERM to all its processes."""
        if running.claim_id in self._endings:
            return
        log.debug("job %s, attempt %s is ended: %s", running.job_id, running.attempt, order.name)
        others = self._processes(running)
        self._slots.give(running, order, len(others))
        self._endings[running.claim_id] = _Ending(
            running,
            reports.ended_by(order, retry_in=running.retry_in, processes=len(others)),
            transitions.by_claim(running.task_id, running.claim_id),
            self._clock(),
        )
        for pid in (*(other.pid for other in others), running.pid):
            _signal(pid, signal.SIGTERM)

    def _advance(self, ending: _Ending) -> None:
        claim_id = ending.running.claim_id
        now = self._slots.of_claim(claim_id)
        left_by_itself = now is None or now.phase is Phase.FINISHING
        if left_by_itself and not ending.child_is_dead:
            del self._endings[claim_id]
            return
        waited = self._clock() - ending.since
        if ending.child_is_dead and not self._processes(ending.running):
            self._close(ending, None)
        elif waited > self._settings.kill_grace + (0 if ending.child_is_dead else _SLACK):
            self._kill(ending)

    def _kill(self, ending: _Ending) -> None:
        child = ending.running.pid
        if not ending.child_is_dead:
            # Stopped, it cannot move on between our look at its slot and the kill.
            _signal(child, signal.SIGSTOP)
            now = self._slots.of_claim(ending.running.claim_id)
            if now is None or now.phase is Phase.FINISHING:
                _signal(child, signal.SIGCONT)
                return
        found = self._processes(ending.running)  # before its death: its descendants are still its own
        if not ending.child_is_dead:
            self._killed.add(child)
            _signal(child, signal.SIGKILL)
        ended = end(lambda: [*found, *self._processes(ending.running)], 0.0)
        self._close(ending, ended)

    def _close(self, ending: _Ending, ended: Ended | None) -> None:
        running = ending.running
        report = replace(ending.report, seed=running.seed)
        del self._endings[running.claim_id]
        self._slots.clear(running)
        if ended is not None and ended.left:
            log.error("job %s: %s", running.job_id, ended)
            report = replace(report, error_message=f"{report.error_message or 'ended'}; {ended}")
        report = replace(report, workdir=folders.left_by(running.job_id, running.attempt, running.claim_id))
        self._closing.add(running.claim_id)
        self._later(ending.guard, report, running.task_id, running.claim_id)

    def _record(
        self, guard: Guard, report: EndedAttempt, task_id: uuid.UUID, claim_id: uuid.UUID | None
    ) -> None:
        """An outcome of the attempt itself, in the spool, counts more than what became of its process."""
        if claim_id is None or not spool.deliver_claim(self._settings, task_id, claim_id):
            recording.write(guard, report, task_id, claim_id)
        if claim_id is not None:
            self._closing.discard(claim_id)

    def _processes(self, running: Running) -> list[psutil.Process]:
        mark = self._slots.mark(running.job_id, running.attempt) if running.job_id else None
        return processes.members(running.pid, mark)

    # --- deaths ---

    def _note_deaths(self) -> None:
        while self._deaths:
            death = self._deaths.popleft()
            if processes.living([death.pid]):
                log.warning("pool child %s was reported dead, but is alive", death.pid)
                continue
            self._release_siblings(death)
            if death.pid in self._killed:
                self._killed.discard(death.pid)  # we did it, and have said why
            elif death.running is not None:
                self._mourn(death.running, death.message)
            else:
                guard = transitions.by_child(death.task_id, self._me, death.pid)
                self._later(guard, self._lost(death.message), death.task_id, None)

    def _release_siblings(self, death: _Death) -> None:
        """Of the jobs of a slice, only the one that ran has lost anything by the death of its child."""
        if death.running is None:
            return
        running = death.running.claim_id

        def release() -> None:
            recording.release_siblings(self._me, death.pid, running)
            self._slots.bury(death.pid)

        outbox.add(("siblings", running), release)

    def _later(
        self, guard: Guard, report: EndedAttempt, task_id: uuid.UUID, claim_id: uuid.UUID | None
    ) -> None:
        # Where no claim is known it is the death of a child, and each is another one.
        key = claim_id or uuid.uuid4()
        added = outbox.add(key, lambda: self._record(guard, report, task_id, claim_id))
        if not added and claim_id is not None:
            self._closing.discard(claim_id)  # the accounts with the board will find it again

    def _mourn(self, running: Running, message: str) -> None:
        """The child is dead; what it started is ended before the board is told."""
        known = self._endings.get(running.claim_id)
        ending = known or _Ending(
            running,
            self._lost(message),
            transitions.by_claim(running.task_id, running.claim_id),
            self._clock(),
        )
        ending.child_is_dead = True
        self._endings[running.claim_id] = ending
        for process in self._processes(running):
            _signal(process.pid, signal.SIGTERM)

    def _lost(self, message: str) -> EndedAttempt:
        before, self._oom_kills = self._oom_kills, memory.oom_kills()
        out_of_memory = (
            before is not None
            and self._oom_kills is not None
            and self._oom_kills > before
            and "SIGKILL" in message
        )
        return reports.lost(message, out_of_memory=out_of_memory)

    # --- accounts with the board ---

    def attempts(self) -> dict[uuid.UUID, Running]:
        """What runs here, by claim; to be taken before the board is asked."""
        return {running.claim_id: running for running in self._slots.busy()}

    def settle(self, before: dict[uuid.UUID, Running], rows: list[Account]) -> None:
        """Compare what the board says of this worker with what runs here, and put both right."""
        if self._prefork:
            self._accounts.append((before, rows))

    def _settle(self, before: dict[uuid.UUID, Running], rows: list[Account]) -> None:
        after = self.attempts()
        of_job = {row.id: row for row in rows}
        for claim_id, running in before.items():
            now = after.get(claim_id)
            if now is not None and running.job_id:
                self._compare(now, of_job.get(running.job_id))
        here = before.keys() | after.keys() | self._endings.keys() | self._closing
        holders = self._slots.holders()
        missing = {
            row.claim_id: row
            for row in rows
            if row.state is State.RUNNING
            and row.worker_id == self._me.worker_id
            and row.claim_id not in here
            and row.pid not in holders
        }
        for claim_id in missing.keys() & self._suspects:
            self._give_up(missing[claim_id])
        self._suspects = set(missing)

    def _give_up(self, row: Account) -> None:
        """Nobody here runs a job that the board says runs here: seen twice, it is certain."""
        log.warning("job %s: no pool child runs it any more", row.id)
        message = "the pool child that ran it is gone"
        if row.pid < 1 or processes.living([row.pid]):
            guard = transitions.by_claim(row.task_id, row.claim_id)
            self._later(guard, self._lost(message), row.task_id, row.claim_id)
        else:
            self._mourn(Running.gone(row.pid, row.claim_id, row.task_id, row.id, row.attempt), message)

    def _compare(self, running: Running, row: Account | None) -> None:
        if running.phase not in (Phase.STARTING, Phase.RUNNING):
            return
        if row is None or row.claim_id != running.claim_id or row.state.is_terminal:
            self._end(running, Order.GIVEN_UP)
        elif row.cancel_requested:
            self._end(running, Order.CANCEL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("no permission to signal process %s", pid)
