"""A worker in the process of the tests: it runs what is due, one job after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simcelery.board import engine, for_tests, leases, transitions
from simcelery.board.values import JobToPublish
from simcelery.errors import UsageError
from simcelery.execution import clean
from simcelery.maintenance import acts
from simcelery.maintenance.effects import USUAL
from simcelery.settings import get_settings
from simcelery.submission.handle import Job
from simcelery.testing import attempts
from simcelery.testing.attempts import Crash
from simcelery.testing.real_workers import RealWorker
from simcelery.testing.servers import Board
from simcelery.worker import slots
from simcelery.worker.parent.lease import Lease
from simcelery.worker.slots.child import Outside
from simcelery.worker.slots.layout import Memory
from simcelery.workflows import registry

_ENOUGH = 2**31  # jobs: a limit, so that each is claimed by itself
_ITS_OWN = ("SIMCELERY_WORKER_ID", "SIMCELERY_REGISTRATION", "SIMCELERY_BOARD")


class Worker:
    """Runs jobs, in this process or in real workers.

    Attributes:
        crashes: where attempts are to be killed: see `CrashAfter`.
    """

    def __init__(self, board: Board, folder: Path) -> None:
        self.crashes: list[Crash] = []
        self._board = board
        self._folder = folder
        self._lease: Lease | None = None
        self._real: list[RealWorker] = []

    # --- in this process ---

    def run(self, most: int | None = None) -> list[Job]:
        """Run what is due, and what becomes due by that, in this process; the jobs, in order.

        From the claim to the finish a job takes the same path as in a real worker, in its own folder. A job
        that fails raises nothing here: its error is printed, for the report of a test that fails, and
        ``job.result()`` raises it. Nothing ends a job from outside: there are no cancels and no time
        limits but the soft one.

        Parameters:
            most: how many attempts at most; None: until nothing is due. A workflow that waits for other jobs
                needs a real worker.

        Raises:
            DefinitionError: a module of workflows that the settings name does not import.
        """
        ran: list[Job] = []
        missed: set[int] = set()
        with self._at_work():
            while most is None or len(ran) < most:
                self._recover()
                job = self._next(missed)
                if job is None:
                    break
                if attempts.run(job, self.crashes):
                    ran.append(Job(job.id, job.task_id, job.workflow))
                else:
                    missed.add(job.id)  # a real worker was faster
        return ran

    def _next(self, missed: set[int]) -> JobToPublish | None:
        known = [definition.name for definition in registry.definitions()]
        with engine.begin() as connection:
            return for_tests.next_pending(connection, known, but=missed)

    @staticmethod
    def _recover() -> None:
        """What all workers do by turns; but no lost worker is given the time to come back."""
        with engine.begin() as connection:
            transitions.rescue(connection, grace=0.0, limit=1000)
        for act in acts.ACTS:
            if act.name not in ("rescue", "republish"):
                act.do(USUAL)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        for error in registry.load(get_settings()).values():
            raise error
        before = {name: os.environ.get(name) for name in _ITS_OWN}
        memory = Memory(_ENOUGH, slots=1)
        memory.header.acquitted_until = float("inf")  # no failure is the node's fault
        former = slots.lend(Outside(memory, alone=True))
        clean.forget()
        try:
            self._take_lease()
            yield
        finally:
            clean.forget()
            slots.lend(former)
            _put_back(before)

    def _take_lease(self) -> None:
        if self._lease is None:
            queues = {known.queue for known in registry.definitions() if known.queue}
            self._lease = Lease("tests@here", [*queues, get_settings().default_queue], 1)
        self._lease.take()
        assert self._lease.me is not None
        with engine.begin() as connection:
            leases.renew(connection, self._lease.me, 3600.0)

    # --- real ones ---

    def start(self, *options: str, environment: Mapping[str, str] | None = None) -> RealWorker:
        """Start a real worker, ``celery -A simcelery worker``; returns when it is ready.

        It knows the workflows that the settings name, and those that the tests have imported. It ends with
        the test.

        Parameters:
            options: of ``celery worker``; without ``-c`` it has one slot.
            environment: added to this process's.

        Raises:
            UsageError: a crash is armed that only `run` can have.
            ServiceError: it does not start; the message quotes its log.
        """
        traps = _traps(self.crashes, self._folder)
        name = f"worker{len(self._real) + 1}"
        made = RealWorker(self._folder / name, options, {**traps, **(environment or {})})
        self._real.append(made)
        made.await_ready()
        return made

    # --- for the clock and the crashes, and at the end ---

    def live(self, connection: Any) -> list[int]:
        """The ids on the board of the workers of this test that are alive."""
        pids = [one.pid for one in self._real if one.is_alive()]
        here = [self._lease.me.worker_id] if self._lease and self._lease.me else []
        return here + for_tests.workers_of(connection, pids)

    def crashes_left(self) -> list[Crash]:
        """The crashes that have not happened."""
        return [one for one in self.crashes if not (self._folder / one.failpoint).exists()]

    def end(self) -> None:
        """End what was started here."""
        for one in self._real:
            one.kill()
        engine.dispose()


def _traps(crashes: list[Crash], folder: Path) -> dict[str, str]:
    """The environment of a real worker in which attempts are to be killed."""
    if other := [one.failpoint for one in crashes if one.failpoint not in attempts.POINTS.values()]:
        raise UsageError(
            f"crash_after: a real worker can crash after {', '.join(attempts.POINTS)}; after "
            f"{other[0].removeprefix('after_')} only worker.run() can"
        )
    if not crashes:
        return {}
    armed = ",".join(f"{one.failpoint}=kill@{one.nth}" for one in crashes)
    return {"SIMCELERY_FAILPOINTS": armed, "SIMCELERY_FAILPOINTS_ONCE": str(folder)}


def _put_back(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
