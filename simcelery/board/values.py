"""The values that travel between the board and the other packages: plain, without SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self, TypeVar

from simcelery.board.states import Cause, Outcome, State
from simcelery.board.task_ids import new_task_id
from simcelery.chunks import Kept
from simcelery.needs import Needs

T = TypeVar("T")


def _like(one: T, **different: Any) -> T:
    """As `dataclasses.replace`, for what every single job needs: that takes five times as long."""
    return from_row(type(one), one.__dict__ | different)


def from_row(kind: type[T], row: Mapping[str, Any]) -> T:
    """A value of this class from a row that has all its fields by name, and no others."""
    made = object.__new__(kind)
    made.__dict__.update(row)
    return made


# --- record: a job that is submitted ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to record. `parameters` are encoded; durations are seconds.

    `run_at` is a moment; `delay` counts from the board's now. `parents` are ids of jobs that must succeed
    first, recorded before or earlier in the same call; `after_any` those that must only have ended; `known`
    are those of both of which there was a handle, with its task id: the number may be another job's by now.
    `version` is the workflow's. With `dedupe` any job that has the same workflow, version and parameters is
    as good, and the key is made from these.

    `renews` names a parameter that does not make a job another one: a job with the same key that is still
    waiting, or is retried, gets it from this one.

    `time_request` says how long it takes; None: nobody has said.

    `keep` says what becomes of its workdirs; None: they stay.
    """

    workflow: str
    parameters: Mapping[str, Any]
    queue: str
    priority: int
    max_attempts: int
    max_losses: int
    submitted_by: str
    id: int | None = None
    task_id: uuid.UUID = field(default_factory=new_task_id)
    tags: Sequence[str] = ()
    idempotency_key: str | None = None
    version: str = "1"
    dedupe: bool = False
    parent_id: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    time_request: int | None = None
    keep: str | None = None
    run_at: dt.datetime | None = None
    delay: float | None = None
    parents: frozenset[int] = frozenset()
    after_any: frozenset[int] = frozenset()
    known: frozenset[tuple[int, uuid.UUID]] = frozenset()
    renews: str | None = None
    needs: Needs | None = None
    parameters_json: str | None = None  # the same as text, where somebody had to write it anyway

    @property
    def waits_for(self) -> frozenset[int]:
        """All jobs that it waits for."""
        return self.parents | self.after_any

    @property
    def size(self) -> int:
        """Characters of its parameters, where they have been written as text."""
        return len(self.parameters_json or "")

    @property
    def lane(self) -> Lane:
        """Where its message goes."""
        return Lane(self.queue, self.workflow, self.priority)

    def alike(self, **different: Any) -> Self:
        """A new job, like this one but for what is given."""
        return _like(self, task_id=new_task_id(), **different)


class Recorded(NamedTuple):
    """What became of a job to record.

    Attributes:
        how: ``new``; ``existing``: a live or succeeded job holds the key, or is the same; ``retried``: such a
            one had failed and was sent back to work.
        state: of a new job: pending, scheduled or blocked.
        published: whether a new job is on the board as published: its message has to be sent next.
    """

    id: int
    task_id: uuid.UUID
    how: Literal["new", "existing", "retried"]
    state: State = State.PENDING
    published: bool = False


# --- retry: a job that is to run with other parameters ---------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What is to change in the parameters of a job that is retried.

    Attributes:
        seen: a hash of the parameters that it had when this was decided; see `reads.revisable`.
        before: all that it had, encoded.
        changes: the new values of those that change, encoded; empty where none does.
        added, dropped: the jobs whose results it takes from now on, and no longer.
        key: its new idempotency key, where dedupe made the old one; else None.
    """

    job_id: int
    workflow: str
    version: str
    seen: int
    before: Mapping[str, Any]
    changes: Mapping[str, Any]
    added: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()
    key: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """All that it has from now on, encoded."""
        return {**self.before, **self.changes}


# --- publish: what its message needs ---------------------------------------------------------------


class Lane(NamedTuple):
    """Where a pending job waits for its turn: behind those of the same queue, workflow and priority."""

    queue: str
    workflow: str
    priority: int


@dataclass(frozen=True)
class JobToPublish:
    """A pending job, with what its message needs: little, however large the job."""

    id: int
    task_id: uuid.UUID
    workflow: str
    queue: str
    priority: int

    @property
    def lane(self) -> Lane:
        """Where its message goes."""
        return Lane(self.queue, self.workflow, self.priority)


# --- claim: the right to run it --------------------------------------------------------------------


class Registration(NamedTuple):
    """What a worker is on the board: its id, and what tells it from another one that was given the same id.

    A board that was restored, or that a replica took over, gives ids out again that live workers bear.
    """

    worker_id: int
    key: uuid.UUID


@dataclass(frozen=True)
class ClaimRequest:
    """What a pool child asks for.

    Attributes:
        task_id: the job that the message names; None: there is no message, and any of them will do.
        claim_id: what its claim is to write: the child's own choice, noted before.
        worker: who asks.
        queue: where others of the same workflow are taken from.
        least: how urgent a job must be to take the place of the named one, where that is gone.
        more: how many others, at most.
        durable: whether the claim must outlive a crash of Postgres.
    """

    task_id: uuid.UUID | None
    workflow: str
    claim_id: uuid.UUID
    worker: Registration
    pid: int
    queue: str = ""
    least: int = 0
    more: int = 0
    durable: bool = True


@dataclass(frozen=True)
class Claim:
    """A job that this process may run, until somebody else holds a newer claim."""

    job_id: int
    task_id: uuid.UUID
    claim_id: uuid.UUID
    attempt: int
    workflow: str
    parameters: dict[str, Any]
    queue: str
    priority: int
    tags: Sequence[str]
    failures: int
    max_attempts: int
    time_limit: float | None
    soft_time_limit: float | None
    gate_id: int | None = None
    granted: Mapping[str, Any] | None = None

    @property
    def memory(self) -> int | None:
        """Bytes that its processes may use together; None: it asked for none in particular."""
        return (self.granted or {}).get("memory")

    @property
    def cores(self) -> int | None:
        """How many cores it may keep busy; None: it asked for none in particular."""
        return (self.granted or {}).get("cores")

    @property
    def gpus(self) -> Sequence[str]:
        """The GPUs that it has for itself."""
        return (self.granted or {}).get("gpus") or ()


@dataclass(frozen=True)
class Account:
    """A job as the board sees it, for a worker that settles its accounts."""

    id: int
    task_id: uuid.UUID
    claim_id: uuid.UUID
    attempt: int
    state: State
    pid: int
    worker_id: int
    cancel_requested: bool


class Predecessor(NamedTuple):
    """A worker of the same host that has not ended, or still holds jobs, as far as the board knows."""

    id: int
    pid: int
    identity: str
    nodename: str


@dataclass(frozen=True)
class ParentJob:
    """A job that another one waited for.

    Attributes:
        state: where it is now: a parent that has ended may have been retried since.
        error: ``type: message`` of one that did not succeed.
        workdir: the folder in which its last attempt has left files, if it has.
    """

    id: int
    workflow: str
    state: State
    error: str | None
    workdir: str | None


@dataclass(frozen=True)
class SavedStep:
    """A call within a job whose output is on the board.

    Attributes:
        key: of what was called with what; `code` and `given` say it.
        attempt: the one that made it; it took so many `seconds`.
    """

    name: str
    key: str
    code: str
    given: dict[str, str]
    attempt: int
    seconds: float
    saved_at: dt.datetime | None = None


@dataclass(frozen=True)
class SavedState:
    """A checkpoint: what an attempt saved last, encoded."""

    attempt: int
    state: Any
    saved_at: dt.datetime


# Of an attempt of which the board alone knows more.
UNKNOWN = uuid.UUID(int=0)


# --- finish: how an attempt ended, and what its job does now -----------------------------------------


@dataclass(frozen=True, kw_only=True)
class EndedAttempt:
    """How an attempt ended, from the line that noticed it to the board.

    Attributes:
        job_id, task_id, claim_id: which attempt, as far as it is known; see `of`.
        result: encoded; for a success.
        retry_in: seconds until the next attempt if any is left; None: this error is final.
        waited: seconds between the claim and the beginning of the attempt.
        ended: when it ended, by the monotonic clock of this process; None: just now.
        ago: seconds that had passed since, when this process first heard of it.
        cpu_seconds, peak_memory: of the attempt, seconds and bytes.
        seed: what its random numbers began with.
        log: what the attempt printed, the text of each chunk by its number; a text alone is the only chunk.
            What the board already has may be left out.
        log_kept: the chunks that the board is to keep, where it may hold others.
        progress: what the job last reported.
        then: of a success, the job in which this one goes on, and whose result becomes its own.
    """

    outcome: Outcome
    cause: Cause | None = None
    job_id: int = 0
    task_id: uuid.UUID = UNKNOWN
    claim_id: uuid.UUID = UNKNOWN
    result: Any = None
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    retry_in: float | None = None
    waited: float = 0.0
    ended: float | None = None
    ago: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    workdir: str | None = None
    code_version: str | None = None
    seed: int | None = None
    log: str | Mapping[int, str] = ""
    log_kept: Kept | None = None
    progress: dict[str, Any] | None = None
    then: NewJob | None = None

    def of(self, claim: Claim, *, waited: float = 0.0, ended: float | None = None) -> Self:
        """The same, of the attempt that began with this claim."""
        return _like(
            self,
            job_id=claim.job_id,
            task_id=claim.task_id,
            claim_id=claim.claim_id,
            waited=waited,
            ended=ended,
        )

    def but(self, **different: Any) -> Self:
        """The same, but for what is given."""
        return _like(self, **different)

    def seconds_ago(self, now: float) -> float:
        """How long ago it ended; `now` by the monotonic clock."""
        return self.ago + (0.0 if self.ended is None else now - self.ended)


@dataclass(frozen=True)
class RunningReport:
    """What a running attempt has printed and reported since the last time.

    Attributes:
        log, log_kept: as those of `EndedAttempt`.
        progress: None: nothing new.
    """

    job_id: int
    claim_id: uuid.UUID
    log: Mapping[int, str] = field(default_factory=dict)
    log_kept: Kept | None = None
    progress: dict[str, Any] | None = None


@dataclass(frozen=True)
class FinishedJob:
    """A job whose attempt has just ended.

    Attributes:
        workflow, took: of the attempt; how long it took, in seconds.
        unblocked: the jobs that waited for it and are pending now.
        again: what the job's own message needs, where it is pending again.
        gone_on: the jobs that had gone on in it: `settle` gives them its result.
    """

    id: int
    task_id: uuid.UUID
    state: State
    attempt: int
    workflow: str = ""
    took: float = 0.0
    unblocked: tuple[JobToPublish, ...] = ()
    again: JobToPublish | None = None
    gone_on: tuple[int, ...] = ()
