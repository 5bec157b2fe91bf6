"""The parent's watch over the attempts in its pool children: it ends them, and tells how they ended.

An attempt is ended for being cancelled, running too long, having been given to another worker, or because
this worker shuts down; each is watched by an object of its own. What nobody runs any more is lost.
"""

from __future__ import annotations

import logging
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from simcelery.board import transitions
from simcelery.board.transitions.finish import Guard
from simcelery.board.values import Account, EndedAttempt, Registration
from simcelery.execution import memory, processes
from simcelery.settings import Settings
from simcelery.worker.outcomes import finish, reports, spool
from simcelery.worker.parent import outbox
from simcelery.worker.parent.accounts import Accounts, order_for
from simcelery.worker.parent.memory_watch import MemoryWatch
from simcelery.worker.parent.output import Outputs
from simcelery.worker.parent.quiet import is_quiet
from simcelery.worker.parent.watched import Watched, WindDown, send
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running
from simcelery.worker.ticker import Ticker, rouse

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds between two looks at the slots
_LAST_LOOKS = 10.0  # seconds at the end of the worker, beside the grace


@dataclass(frozen=True)
class _Death:
    task_id: uuid.UUID
    pid: int
    message: str
    running: Running | None  # what the child's slot said, before its successor has it


class Supervisor:
    """Watches over the attempts from its own thread. Others leave what they have to tell it in a queue.

    Parameters:
        me: the worker that the attempts belong to.
        prefork: whether jobs run in children; in the worker's own process nothing can be ended.
        clock: returns the monotonic time, in seconds.

    Attributes:
        outputs: of the attempts.
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
        self.outputs = Outputs(slots, settings)
        self._prefork = prefork
        self._clock = clock
        self._watched: dict[uuid.UUID, Watched] = {}
        self._wind_down: WindDown | None = None
        self._deaths: deque[_Death] = deque()
        self._answers: deque[tuple[dict[uuid.UUID, Running], list[Account]]] = deque()
        self._accounts = Accounts(me.worker_id)
        self._oom_kills = memory.oom_kills()
        self._memory = MemoryWatch(slots)
        self._ticker = Ticker("supervisor", self.look, EVERY, self._is_quiet)

    # --- what it is told ---

    def start(self) -> None:
        """Start watching."""
        self._ticker.start()

    def finish(self) -> None:
        """The pool is gone: end what it left, and stop."""
        self._ticker.stop()
        self._ticker.join(_LAST_LOOKS)
        deadline = time.monotonic() + self._settings.kill_grace + _LAST_LOOKS
        self.look()
        while any(one.is_stopping for one in self._watched.values()) and time.monotonic() < deadline:
            time.sleep(EVERY)
            self.look()

    def shut_down(self, grace: float, order: Order = Order.SHUTDOWN) -> None:
        """Claim nothing more, warn running jobs, and end them in `grace` seconds; the earliest end counts.

        Called from signal handlers, so it only sets attributes.
        """
        at, former = self._clock() + grace, self._wind_down
        self._wind_down = WindDown(at if former is None else min(at, former.at), order)
        self._slots.drain()

    def close(self) -> None:
        """Claim no more jobs; running ones continue."""
        self._slots.close()

    def child_died(self, task_id: str, pid: int, message: str) -> None:
        """The pool lost a child that had a message. Called from the event loop, which must not wait."""
        with suppress(ValueError):  # no job of ours
            self._deaths.append(_Death(uuid.UUID(task_id), pid, message, self.attempt_of(pid)))
            rouse()

    def attempt_of(self, pid: int) -> Running | None:
        """What a pool child runs, or ran when it died."""
        return self._slots.of_pid(pid)

    def attempts(self) -> dict[uuid.UUID, Running]:
        """The attempts that run here, by claim; to be read before the board is asked."""
        return {running.claim_id: running for running in self._slots.busy()}

    def settle(self, before: dict[uuid.UUID, Running], rows: list[Account]) -> None:
        """Compare what the board says about this worker with what runs here, and correct both."""
        if self._prefork:
            self._answers.append((before, rows))

    # --- the watch ---

    def _is_quiet(self) -> bool:
        return not (self._watched or self._deaths or self._answers) and is_quiet(self._slots)

    def look(self) -> None:
        """Check all attempts once."""
        while self._deaths:
            self._note(self._deaths.popleft())
        while self._answers:
            self._settle(*self._answers.popleft())
        self._end_startups()
        now = self._clock()
        attempts = [one for one in self._slots.busy() if one.phase is not Phase.WARMING]
        if self._prefork:
            self._memory.look(now, attempts)
        here = [self._watch(one) for one in attempts]
        self._watched = {
            claim_id: one
            for claim_id, one in self._watched.items()
            if one.look(now, one in here, self._wind_down)
        }

    def _watch(self, running: Running) -> Watched:
        """The one that watches over this attempt, which is now as its slot says."""
        if (known := self._watched.get(running.claim_id)) is None:
            known = Watched(
                running, self._slots, self._settings, self._memory, self._write_end, self._release_siblings
            )
            self._watched[running.claim_id] = known
        known.running = running
        return known

    def _end_startups(self) -> None:
        """What --startup names is no attempt: it ends with its worker."""
        for running in self._slots.busy():
            if running.phase is Phase.WARMING and self._slots.closed:
                send(running.pid, signal.SIGTERM)

    # --- deaths ---

    def _note(self, death: _Death) -> None:
        if processes.living([death.pid]):
            log.warning("pool child %s was reported dead, but is alive", death.pid)
            return
        if death.running is not None:
            self._release_siblings(death.running)
        killed = [one for one in self._watched.values() if one.kill_unseen and one.running.pid == death.pid]
        if killed:  # we did it, and have said why
            for one in killed:
                one.kill_unseen = False
        elif death.running is not None:
            self._watch(death.running).mourn(self._lost(death.message, death.running), self._clock())
        else:
            guard = transitions.by_child(death.task_id, self._me, death.pid)
            report = self._lost(death.message)
            outbox.add(uuid.uuid4(), lambda: finish.write(guard, report, death.task_id, None))

    def _release_siblings(self, running: Running) -> None:
        """Of a slice, only the job that was running has lost anything by the death of its child."""

        def release() -> None:
            finish.release_siblings(self._me, running.pid, running.claim_id)
            self._slots.bury(running.pid)

        outbox.add(("siblings", running.claim_id), release)

    def _lost(self, message: str, running: Running | None = None) -> EndedAttempt:
        before, self._oom_kills = self._oom_kills, memory.oom_kills()
        out_of_memory = (
            before is not None
            and self._oom_kills is not None
            and self._oom_kills > before
            and "SIGKILL" in message
        )
        used = self._memory.of(running)[0] if running else 0
        return reports.lost(message, out_of_memory=out_of_memory, used=used)

    # --- accounts with the board ---

    def _settle(self, before: dict[uuid.UUID, Running], rows: list[Account]) -> None:
        now = self.attempts()
        row_of = {row.id: row for row in rows}
        # Of what was only being claimed then, the board was not asked.
        asked = [claim_id for claim_id, running in before.items() if running.job_id and claim_id in now]
        for running in map(now.__getitem__, asked):
            order = order_for(running, row_of.get(running.job_id))
            if order is not Order.NONE:
                with running.in_log():
                    self._watch(running).stop(order, self._clock())
        stopping = {claim_id for claim_id, one in self._watched.items() if one.is_stopping}
        waiting = {row.claim_id for row in rows if outbox.holds(row.claim_id)}
        here = {*before, *now, *stopping, *waiting}
        for row in self._accounts.missing(rows, here, self._slots.holders()):
            self._give_up(row)

    def _give_up(self, row: Account) -> None:
        """A job runs here according to the board, but in no pool child."""
        report = self._lost("the pool child that ran it is gone")
        gone = Running.gone(row.pid, row.claim_id, row.task_id, row.id, row.attempt)
        with gone.in_log():
            log.warning("job %s: no pool child runs it any more", row.id)
        if row.pid < 1 or processes.living([row.pid]):
            self._write_end(gone, report)
        else:
            self._watch(gone).mourn(report, self._clock())

    # --- the board ---

    def _write_end(self, running: Running, report: EndedAttempt) -> None:
        """Soon. Where there is no room to wait, the accounts with the board will find it again."""
        guard = transitions.by_claim(running.task_id, running.claim_id)
        outbox.add(running.claim_id, lambda: self._write(guard, report, running))

    def _write(self, guard: Guard, report: EndedAttempt, running: Running) -> None:
        """An outcome of the attempt itself, in the spool, counts more than what became of its process."""
        with running.in_log():
            if not spool.deliver_claim(self._settings, running.task_id, running.claim_id):
                report = self.outputs.with_rest(report, running)
                finish.write(guard, report, running.task_id, running.claim_id)
            self._slots.freed()
            self.outputs.forget(running)
