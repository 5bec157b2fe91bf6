"""Handles on recorded jobs."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from simcelery.board import asking, reads
from simcelery.board.reads.jobs import Filter, JobRow
from simcelery.board.sql import Reader
from simcelery.board.states import State
from simcelery.board.values import Recorded
from simcelery.errors import (
    JobCancelledError,
    JobError,
    JobFailedError,
    JobNotFoundError,
    UpstreamFailedError,
    WaitTimeoutError,
)
from simcelery.pauses import growing
from simcelery.readable import short
from simcelery.submission.outages import Outages
from simcelery.submission.presence import check_numbers, check_there, gone
from simcelery.submission.records import Records
from simcelery.workflows import registry
from simcelery.workflows.encoding import JobRef, decode

if TYPE_CHECKING:
    from simcelery.board.reads.artifacts import Artifact
    from simcelery.describe.explanation import Explanation

T = TypeVar("T")

# Waiting asks the board often at first and ever less often: a second is nothing to a simulation.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MANY = 5000  # ids per question


class Job(JobRef):
    """One job on the board. Passed as a parameter to another workflow it stands for its result.

    Attributes:
        id: the number that people use.
        task_id: Celery's id, a UUID.
        workflow: the workflow's name.
        how: for a fresh submission: ``new``, ``existing`` or ``retried`` (see ``dedupe``).
    """

    def __init__(self, id: int, task_id: uuid.UUID, workflow: str, how: str = "existing") -> None:
        self.id = id
        self.task_id = task_id
        self.workflow = workflow
        self.how = how

    def __repr__(self) -> str:
        from simcelery.submission import notebook  # what only some do with a handle takes long to import

        return f"<Job {self.id} {notebook.brief(self.workflow)}>"

    def _repr_html_(self) -> str:
        from simcelery.submission import notebook  # as above

        row = notebook.look(lambda connection: reads.job_by_task_id(connection, self.task_id))
        if row is None:
            return notebook.facts(f"job {self.id}", [("workflow", self.workflow), ("state", notebook.SILENT)])
        return notebook.facts(f"job {self.id}", notebook.job_facts(row))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.task_id == other.task_id

    def __hash__(self) -> int:
        return hash(self.task_id)

    def row(self) -> JobRow:
        """All that the board says of the job now.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        with asking.begin() as connection:
            found = reads.job_by_task_id(connection, self.task_id)
        check_numbers([self], {found.task_id: found.id} if found else {})
        assert found is not None
        return found

    @property
    def state(self) -> State:
        """Where the job is now: one of the eight states."""
        return self.row().state

    @property
    def parameters(self) -> dict[str, Any]:
        """What the job was given, in the order of the signature where a worker has told the board of it.

        A job whose result it takes is ``{"$job": id}``.
        """
        return {name: decode(value) for name, value in self.row().parameters.items()}

    @property
    def progress(self) -> dict[str, Any] | None:
        """What the workflow last reported: ``done``, ``total`` and ``message``; None before it did."""
        return self.row().progress

    def wait(self, timeout: float | None = None) -> State:
        """Block until the job is in a terminal state.

        Parameters:
            timeout: seconds; None waits forever.

        Raises:
            WaitTimeoutError: it is not finished by then.
        """
        for _ in as_completed([self], timeout=timeout):
            break
        return self.state

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the job and give its result, with the type of the workflow's return annotation.

        Where the workflow is not importable here, the plain decoded value.

        Parameters:
            timeout: seconds; None waits forever.

        Raises:
            JobFailedError, JobCancelledError, UpstreamFailedError: it did not succeed.
            WaitTimeoutError: it is not finished by then.
        """
        self.wait(timeout)
        row = self.row()
        if row.state is not State.SUCCEEDED:
            raise self.failure(row)
        return restore(row.workflow, row.result)

    def artifacts(self) -> list[Artifact]:
        """The files that the job has registered, by name; none before it has succeeded.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        from simcelery.submission import artifacts  # as above

        return artifacts.of(self.id, [self])

    def artifact(self, name: str, folder: str | Path = ".") -> Path:
        """The path of one of them on this machine. If it is not here, it is brought into the folder.

        Its checksum is verified, wherever it is.

        Parameters:
            name: as it was registered.
            folder: where it goes if it is not here, under its name.

        Raises:
            JobNotFoundError: the job is no longer on the board.
            UsageError: there is none of this name, it is gone, or it is not what was registered.
            ServiceError: it is stored nowhere, and no worker on its host answers.
        """
        from simcelery.submission import artifacts  # as above

        return artifacts.path_of(artifacts.named(self.id, name, [self]), Path(folder))

    def failure(self, row: JobRow) -> JobError:
        """The error to raise for a job that did not succeed."""
        what = f"job {row.id} ({row.workflow})"
        if row.state is State.CANCELLED:
            return JobCancelledError(f"{what} was cancelled")
        if row.state is State.UPSTREAM_FAILED:
            reason = row.error_message or "a job that it waits for did not succeed"
            how = "could not go on" if row.attempt else "did not run"
            return UpstreamFailedError(f"{what} {how}: {reason}")
        ended = self.attempts()
        text = ended[-1]["traceback"] if ended else None
        return JobFailedError(f"{what} failed: {row.error}", row.error_type or "", text)

    def explain(self) -> Explanation:
        """Why the job is not running, or where it runs, or how it ended, and what can be done.

        Printed, it is what ``simcelery explain`` prints; its `reasons` have codes for programs.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        from simcelery.describe import story  # as above
        from simcelery.describe.explanation import explanation

        found = story.read(self.id)
        check_numbers([self], {found.job.task_id: found.job.id})
        return explanation(found)

    def cancel(self) -> bool:
        """Cancel the job: at once if it does not run, else as soon as its worker hears of it.

        Returns:
            False: it had already ended.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        from simcelery.submission import actions  # as above

        at_once, requested = actions.cancel([self.id], handles=[self])
        return bool(at_once or requested)

    def retry(
        self,
        *,
        with_parents: bool = False,
        set: Mapping[str, Any] | None = None,
        from_scratch: bool = False,
    ) -> None:
        """Send a failed, cancelled or upstream_failed job back to work, with its upstream_failed descendants.

        Its steps and its checkpoint are kept: it goes on from there.

        Parameters:
            from_scratch: forget them. With other parameters they are forgotten in any case.
            set: new values for some of its parameters, such as ``{"fmax": 0.02}``, validated as `submit`
                does. A `Job` stands for its result and is waited for.

        Raises:
            StateError: it is in another state, or a parent did not succeed; or it was submitted with dedupe,
                and another job has these parameters already.
            ParametersError, EncodingError: the new values; nothing was changed.
            JobNotFoundError: it, or a job to wait for, is no longer on the board.
        """
        from simcelery.submission import actions, revising  # as above

        revisions = revising.plan([self.id], set) if set else None
        actions.retry(
            [self.id],
            with_parents=with_parents,
            strict=True,
            handles=[self],
            revisions=revisions,
            from_scratch=from_scratch,
        )

    @overload
    def log(self, *, follow: Literal[False] = False) -> str: ...
    @overload
    def log(self, *, follow: Literal[True]) -> Iterator[str]: ...
    def log(self, *, follow: bool = False) -> str | Iterator[str]:
        """What the job has printed so far, all attempts in order.

        Parameters:
            follow: give piece after piece instead, each as soon as it is there, until the job has ended:
                ``for text in job.log(follow=True): print(text, end="")``.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        if follow:
            from simcelery.submission import following  # as above

            return (text for heard in following.follow(self) for _, text in heard.printed)
        return self._read(reads.log)

    def corrections(self) -> list[dict[str, Any]]:
        """What handlers have corrected, oldest first: number, attempt, handler, error, changes, difference.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        return self._read(reads.corrections)

    def steps(self) -> list[dict[str, Any]]:
        """The saved steps, oldest first: name, given, output, attempt, seconds, saved_at.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        return [{**one, "output": decode(one["output"])} for one in self._read(reads.steps)]

    def attempts(self) -> list[dict[str, Any]]:
        """The ended attempts, oldest first: parameters, outcome, cause, error, worker, times, cpu, memory.

        Raises:
            JobNotFoundError: it is no longer on the board.
        """
        found = self._read(reads.attempts)
        for one in found:
            one["parameters"] = {name: decode(value) for name, value in one["parameters"].items()}
        return found

    def _read(self, of: Callable[[Reader, int], T]) -> T:
        """What the board says of it under its id, if it is still there."""
        with asking.begin() as connection:
            check_there(connection, [self])
            return of(connection, self.id)


class Jobs(Sequence[Job]):
    """A sequence of handles; each is made when it is asked for.

    Attributes:
        records: what they are made from, 25 bytes for each job.
    """

    def __init__(self, recorded: Iterable[Recorded], workflow: str = "") -> None:
        self.records = recorded if isinstance(recorded, Records) else Records(recorded)
        self.workflow = workflow

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> Jobs: ...
    def __getitem__(self, index: int | slice) -> Job | Jobs:
        if isinstance(index, slice):
            return Jobs(self.records[index], self.workflow)
        found = self.records[index]
        return Job(found.id, found.task_id, self.workflow, found.how)

    def __repr__(self) -> str:
        from simcelery.submission import notebook  # as above

        span = f" {self.records[0].id} to {self.records[-1].id}" if self.records else ""
        return f"<{len(self)} jobs of {notebook.brief(self.workflow)}{span}>"

    def _repr_html_(self) -> str:
        from simcelery.submission import notebook  # as above

        first = self[: notebook.ROWS]
        every = self if len(self) <= _MANY else first

        def ask(connection: Any) -> tuple[list[JobRow], dict[State, int]]:
            check_there(connection, every)
            states = reads.counts(connection, Filter(ids=every.ids)) if every is self else {}
            return reads.jobs(connection, Filter(ids=first.ids), newest=False), states

        found = notebook.look(ask) if self else ([], {})
        rows, states = found or ([], {})
        counted = ", ".join(f"{number:,} {state}" for state, number in states.items())
        return notebook.job_table(repr(self)[1:-1], rows, notebook.SILENT if found is None else counted)

    @property
    def ids(self) -> list[int]:
        """The ids, in the order of submission."""
        return list(self.records.ids)

    def summary(self) -> dict[str, int]:
        """How many are new, existing and retried."""
        return self.records.summary()

    def wait(self, timeout: float | None = None) -> None:
        """Block until all are in a terminal state.

        Raises:
            WaitTimeoutError: some are not by then.
        """
        for _ in as_completed(self, timeout=timeout):
            pass

    def results(self, timeout: float | None = None) -> list[Any]:
        """All results, in the order of submission.

        Raises:
            JobFailedError, JobCancelledError, UpstreamFailedError: of the first that did not succeed.
            WaitTimeoutError: some are not finished by then.
        """
        self.wait(timeout)
        found: dict[int, tuple[str, Any]] = {}
        ids = self.ids
        with asking.begin() as connection:
            for start in range(0, len(ids), _MANY):
                found.update(reads.results(connection, ids[start : start + _MANY]))
                check_there(connection, self[start : start + _MANY])
        for job in self:
            if job.id not in found:
                raise job.failure(job.row())
        return [restore(*found[number]) for number in ids]


def restore(workflow: str, stored: Any) -> Any:
    """A result as the workflow declared it, or plain where the workflow is not known here."""
    definition = registry.find(workflow)
    return definition.parameters.restore_result(stored) if definition else decode(stored)


def as_completed(
    jobs: Iterable[Job],
    timeout: float | None = None,
    on_poll: Callable[[], None] | None = None,
) -> Iterator[Job]:
    """The jobs, each as soon as it is in a terminal state, whichever that is.

    If the board goes away meanwhile, it is waited for; a warning is logged when that begins and when it ends.

    Parameters:
        timeout: seconds for all of them; None waits forever.
        on_poll: called each time after the board was asked, for example to draw a progress bar.

    Raises:
        WaitTimeoutError: some are not finished by then.
        JobNotFoundError: one is no longer on the board.
        BoardUnreachableError: the board cannot be reached at the beginning.
    """
    handles = jobs if isinstance(jobs, Jobs) else list(jobs)
    ids = handles.ids if isinstance(handles, Jobs) else [job.id for job in handles]
    waiting = {number: at for at, number in enumerate(ids)}
    until = math.inf if timeout is None else time.monotonic() + timeout
    pauses, board = growing(_FIRST_PAUSE, _LONGEST_PAUSE, until), Outages(until=until)

    def look() -> list[int]:
        return _finished(list(waiting), lambda number: handles[waiting[number]])

    while waiting:
        finished = board.ask(look)
        for number in finished:
            yield handles[waiting.pop(number)]
        if on_poll:
            on_poll()
        if not waiting:
            return
        if finished:
            pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE, until)
        if (pause := next(pauses, None)) is None:
            raise WaitTimeoutError(
                f"{_jobs(len(waiting))} not finished after {timeout:g} s; the first is job {min(waiting)}"
            )
        time.sleep(pause)


def _jobs(count: int) -> str:
    return "1 job is" if count == 1 else f"{count:,} jobs are"


def _finished(ids: list[int], handle: Callable[[int], Job]) -> list[int]:
    finished: list[int] = []
    with asking.begin() as connection:
        for start in range(0, len(ids), _MANY):
            part = ids[start : start + _MANY]
            found = reads.states(connection, part)
            if missing := [number for number in part if number not in found]:
                raise gone(missing[0])
            over = [number for number in part if found[number].is_terminal]
            check_there(connection, [handle(number) for number in over])
            finished += over
    return finished


def get_job(job_id: int) -> Job:
    """A handle on the job with this id.

    Raises:
        JobNotFoundError: there is none.
    """
    if not isinstance(job_id, int) or not 0 < job_id < 2**63:
        raise JobNotFoundError(f"{short(job_id)} is not a job id: ids are whole numbers from 1 on")
    with asking.begin() as connection:
        found = reads.job(connection, job_id)
    if found is None:
        raise JobNotFoundError(f"there is no job {job_id}")
    return Job(found.id, found.task_id, found.workflow)
