"""Futures of jobs, and the thread that learns from the board what became of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simcelery.board import engine, reads
from simcelery.board.states import State
from simcelery.errors import JobCancelledError, JobNotFoundError, ServiceError
from simcelery.pauses import growing
from simcelery.submission.handle import Job
from simcelery.submission.presence import gone

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

# The board is asked often at first and ever less often, as long as nothing ends.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_AT_ONCE = 200  # results that are read together
_LOOK_TOO_EVERY = 5.0
_IDLE = 2.0  # seconds after which a thread ends that has nothing to do


class JobFuture(Future[Any]):
    """The future of a call that a job makes. It ends as the job does, whoever recorded that first."""

    def __init__(self, restore: Callable[[Any], Any], cancel: Callable[[list[JobFuture]], None]) -> None:
        super().__init__()
        self._restore = restore
        self._cancel_all = cancel
        self._ending = threading.Lock()
        self._known = threading.Event()
        self._job: Job | None = None
        self.given_up = False  # whether it is just being cancelled

    @property
    def job(self) -> Job:
        """The job itself. A call is recorded within moments; until then, this waits.

        Raises:
            CancelledError: the call was cancelled before it was recorded.
            SimceleryError: it could not be recorded.
        """
        self._known.wait()
        if self._job is None:
            self.result()
        assert self._job is not None
        return self._job

    def is_job(self, job: Job) -> None:
        """It is recorded, as this job."""
        self._job = job
        self._known.set()

    @property
    def is_recorded(self) -> bool:
        """Whether its job is known."""
        return self._job is not None

    def cancel(self) -> bool:
        """Cancel the job if it has not begun to run.

        A job that runs goes on, as with the executors of Python; ``future.job.cancel()`` ends it. A job
        that other futures of the same executor wait for goes on, too.

        Returns:
            Whether the future is cancelled.

        Raises:
            BoardUnreachableError: nothing is cancelled.
        """
        if not self.done() and not self.running():
            self._cancel_all([self])
        return self.cancelled()

    def runs(self) -> None:
        """Its job has begun to run."""
        with self._ending:
            if not self.done() and not self.running():
                self.set_running_or_notify_cancel()

    def ends(self, result: Any = None, *, error: BaseException | None = None) -> None:
        """Its job has ended, or cannot be known any more."""
        with self._ending:
            if self.done():
                return
            if error is None:
                try:
                    value = self._restore(result)
                except Exception as fault:  # what is stored cannot be read
                    error = fault
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
            self._known.set()

    def ends_cancelled(self) -> None:
        """Its job was cancelled by whoever holds this future."""
        with self._ending:
            if self.running():  # it had begun, and its worker gave it back
                self.set_exception(CancelledError())
            elif not self.done() and super().cancel():
                self.set_running_or_notify_cancel()
            self._known.set()


class Watcher:
    """Ends futures as their jobs end: one thread and, for all of them together, one question at a time.

    Parameters:
        look_too: called every 5 s with the ids of the jobs that wait.
    """

    def __init__(self, look_too: Callable[[list[int]], None] = lambda ids: None) -> None:
        self._changed = threading.Condition()
        self._look_too, self._looked_at = look_too, time.monotonic()
        self._waiting: dict[Job, list[JobFuture]] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._fresh = False  # whether something was added since the last look

    def add(self, futures: Iterable[JobFuture]) -> None:
        """Watch these, too; their jobs are recorded."""
        with self._changed:
            for future in futures:
                self._waiting.setdefault(future.job, []).append(future)
            self._fresh = True
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="simcelery-futures", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def others(self, futures: Iterable[JobFuture]) -> set[JobFuture]:
        """Those of the futures whose jobs are waited for by futures besides these."""
        given = set(futures)
        with self._changed:
            return {
                future
                for future in given
                if any(not (one.done() or one in given) for one in self._waiting.get(future.job, ()))
            }

    def undone(self) -> list[JobFuture]:
        """The futures that have not ended."""
        with self._changed:
            return [one for futures in self._waiting.values() for one in futures if not one.done()]

    def close(self) -> None:
        """Let the thread end as soon as it has nothing to do."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def after_fork(self) -> None:
        """In a child process: the thread and whoever held the lock are not here."""
        self._changed = threading.Condition()
        self._waiting.clear()
        self._thread = None

    def _run(self) -> None:
        pauses: Iterator[float] = iter(())
        told = False
        while self._has_work():
            try:
                ended = self._look()
            except ServiceError as error:
                if not told:
                    log.warning("%s; waiting until it answers again", error)
                ended, told = 0, True
            except BaseException as error:  # nothing may end this thread and leave futures behind
                log.exception("the futures of jobs cannot be followed any more")
                self._end_all(error)
                continue
            else:
                if told:
                    log.warning("the board answers again")
                told = False
            with self._changed:
                if ended or self._fresh:
                    pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE)
                self._fresh = False
                self._changed.wait_for(lambda: self._fresh, next(pauses, _LONGEST_PAUSE))

    def _has_work(self) -> bool:
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait_for(lambda: self._waiting or self._closing, _IDLE)
            if not self._waiting:
                self._thread = None
            return bool(self._waiting)

    def _look(self) -> int:
        """Ask once for all jobs; how many futures have ended."""
        with self._changed:
            for job in [job for job, futures in self._waiting.items() if all(one.done() for one in futures)]:
                del self._waiting[job]
            jobs = list(self._waiting)
        with engine.begin() as connection:
            # A number may have been given to another job since, where a replica or a backup took over.
            states = reads.states_by_task_id(connection, [job.id for job in jobs])
            begun = self._begun(connection, [job for job in jobs if states.get(job.task_id) is State.RUNNING])
        by_state: defaultdict[State | None, list[Job]] = defaultdict(list)
        for job in jobs:
            by_state[states.get(job.task_id)].append(job)
        for job in by_state[None]:
            self._end(job, error=gone(job.id))
        for job in begun:
            for future in self._futures(job):
                future.runs()
        for job in by_state[State.CANCELLED]:
            self._end_cancelled(job)
        self._end_succeeded(by_state[State.SUCCEEDED])
        for job in by_state[State.FAILED] + by_state[State.UPSTREAM_FAILED]:
            self._end_failed(job)
        if time.monotonic() - self._looked_at > _LOOK_TOO_EVERY:
            self._looked_at = time.monotonic()
            self._look_too([job.id for job in by_state[State.PENDING] + by_state[State.SCHEDULED]])
        return sum(len(some) for state, some in by_state.items() if state is None or state.is_terminal)

    def _begun(self, connection: Connection, running: list[Job]) -> list[Job]:
        """Those of the running jobs that have begun and of which that is news."""
        news = [job for job in running if not all(one.running() or one.done() for one in self._futures(job))]
        begun = reads.running(connection, [job.id for job in news]) if news else {}
        return [job for job in news if begun.get(job.id)]

    def _futures(self, job: Job) -> list[JobFuture]:
        with self._changed:
            return list(self._waiting.get(job, ()))

    def _take(self, job: Job) -> list[JobFuture]:
        with self._changed:
            return self._waiting.pop(job, [])

    def _end(self, job: Job, result: Any = None, error: BaseException | None = None) -> None:
        for future in self._take(job):
            future.ends(result, error=error)

    def _end_cancelled(self, job: Job) -> None:
        for future in self._take(job):
            if future.given_up:
                future.ends_cancelled()
            else:
                future.ends(error=JobCancelledError(f"job {job.id} ({job.workflow}) was cancelled"))

    def _end_succeeded(self, jobs: list[Job]) -> None:
        for start in range(0, len(jobs), _AT_ONCE):
            some = jobs[start : start + _AT_ONCE]
            with engine.begin() as connection:
                found = reads.results(connection, [job.id for job in some])
                there = reads.ids_by_task_id(connection, [job.task_id for job in some])
            for job in some:
                if job.task_id in there and job.id in found:  # else it is gone, or sent back to work, since
                    self._end(job, found[job.id][1])

    def _end_failed(self, job: Job) -> None:
        with suppress(JobNotFoundError):  # since just now; the next look tells
            row = job.row()
            if row.state in (State.FAILED, State.UPSTREAM_FAILED):
                self._end(job, error=job.failure(row))

    def _end_all(self, error: BaseException) -> None:
        with self._changed:
            jobs = list(self._waiting)
        for job in jobs:
            self._end(job, error=error)
