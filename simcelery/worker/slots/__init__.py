"""What each pool child is doing, in memory that the worker's parent process shares with it.

The parent must know at once, without asking the board, which attempt a child runs and when its time is up;
a child must learn at once that its attempt is to end. Each child has one slot. It alone writes what it does
there; the parent alone writes orders, and an order names the claim it is meant for, so that one that comes
too late never hits the child's next job.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import math
import mmap
import multiprocessing
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from simcelery.execution import identity

_NOBODY = uuid.UUID(int=0)
CAPACITY = 1024  # pool children; more than any worker has
FAILURES_KEPT = 16  # task ids, per child
_SIGNAL_ARRIVES = 5.0  # seconds from an order to the signal that goes with it, at most
_TO_ENCODE = 15.0  # seconds
QUICK = 10.0  # seconds: a failure that comes sooner may be the node's fault


class Phase(IntEnum):
    """How far a child is with its job."""

    IDLE = 0
    WARMING = 5  # --startup runs
    CLAIMING = 1  # the claim id is chosen; whether the board grants it is not known yet
    STARTING = 2  # claimed
    RUNNING = 3  # the workflow's own code runs
    FINISHING = 4  # its outcome is known, and is being recorded


class Order(IntEnum):
    """What the parent tells an attempt. All but the first two end it, and say why."""

    NONE = 0
    WARN = 1  # the worker will end soon: save what you can
    SHUTDOWN = 2
    WALLTIME = 3
    CANCEL = 4
    TIME_LIMIT = 5
    GIVEN_UP = 6  # the job was given to another worker, or is no longer on the board

    @property
    def ends(self) -> bool:
        """Whether the attempt is to end."""
        return self > Order.WARN


@dataclass(frozen=True)
class Running:
    """What a slot says at one moment. Times are of the monotonic clock, which all processes share.

    Attributes:
        seed: what its random numbers began with; None: they have not.
        deadline: when the attempt is to be ended for running too long; infinity if never.
        retry_in: seconds until the next attempt after that, or None: it is final.
    """

    index: int
    pid: int
    phase: Phase
    claim_id: uuid.UUID
    task_id: uuid.UUID
    job_id: int
    attempt: int
    deadline: float
    retry_in: float | None
    warned: bool
    seed: int | None = None

    @classmethod
    def gone(cls, pid: int, claim_id: uuid.UUID, task_id: uuid.UUID, job_id: int, attempt: int) -> Running:
        """An attempt of which only the board still tells."""
        return cls(0, pid, Phase.RUNNING, claim_id, task_id, job_id, attempt, math.inf, None, False)


@dataclass(frozen=True)
class Record:
    """How the last jobs of one child went.

    Attributes:
        workflow: of its last job.
        succeeded_at: when it last succeeded, by the monotonic clock.
        failures: how many jobs in a row have failed, each within seconds.
        failed: the task ids of the last of these.
    """

    workflow: str
    succeeded_at: float | None
    failures: int
    failed: tuple[uuid.UUID, ...]


class _Fields(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_int64),
        ("job_id", ctypes.c_int64),
        ("attempt", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("holding", ctypes.c_int64),
        ("started", ctypes.c_double),
        ("deadline", ctypes.c_double),
        ("retry_in", ctypes.c_double),
        ("order_processes", ctypes.c_int64),
        ("order_at", ctypes.c_double),
        ("claim_id", ctypes.c_char * 33),
        ("task_id", ctypes.c_char * 33),
        ("order_claim", ctypes.c_char * 33),
        ("workflow", ctypes.c_char * 200),
        ("claims", ctypes.c_uint64),
        ("succeeded_at", ctypes.c_double),
        ("failures", ctypes.c_uint64),
        ("failed", (ctypes.c_char * 33) * FAILURES_KEPT),
        ("phase", ctypes.c_uint8),
        ("order", ctypes.c_uint8),
        ("warned", ctypes.c_uint8),
    ]


class _Header(ctypes.Structure):
    _fields_ = [
        ("acquitted_until", ctypes.c_double),
        # A byte for each slot that a child has ever taken. Of one number for all, a write may be lost.
        ("taken", ctypes.c_uint8 * CAPACITY),
        ("closed", ctypes.c_uint8),
        ("draining", ctypes.c_uint8),
        ("broken", ctypes.c_uint8),
        ("unusable", ctypes.c_uint8),
    ]


class Slots:
    """The slots of one worker. Made before the pool forks.

    Parameters:
        max_jobs: how many jobs the children may claim, all together; None: no limit.

    Attributes:
        token: marks every process that this worker's jobs start.
        owner: the pid of the worker's parent process.
    """

    def __init__(self, max_jobs: int | None = None) -> None:
        self._max_jobs = max_jobs
        self._jobs_left: Any = None
        if max_jobs is not None:
            self._jobs_left = multiprocessing.get_context("fork").Semaphore(max_jobs)
        head, each = ctypes.sizeof(_Header), CAPACITY * ctypes.sizeof(_Fields)
        self._memory = mmap.mmap(-1, head + 2 * each)
        self._header = _Header.from_buffer(self._memory)
        self._fields = (_Fields * CAPACITY).from_buffer(self._memory, head)
        # What the last child that died with a job in this slot was doing: its successor may be at work before
        # anybody says that it died.
        self._wills = (_Fields * CAPACITY).from_buffer(self._memory, head + each)
        self.token = token_of(identity.identity(), os.getpid())
        self.owner = os.getpid()

    @property
    def closed(self) -> bool:
        """Whether nothing may be claimed any more."""
        return bool(self._header.closed)

    def close(self) -> None:
        """Let nothing be claimed from now on; what runs goes on."""
        self._header.closed = 1

    def reopen(self) -> None:
        """Let jobs be claimed again, unless the worker ends; failures are counted anew."""
        for fields in self._used():
            fields.failures = 0
        header = self._header
        header.closed = header.draining or header.broken or header.unusable

    @property
    def unusable(self) -> bool:
        """Whether a child has found that the node takes no files."""
        return bool(self._header.unusable)

    def report_unusable(self) -> None:
        """Say so, from the child: nothing is claimed any more."""
        self._header.unusable = self._header.closed = 1

    def usable(self) -> None:
        """It does again; `reopen` lets jobs be claimed."""
        self._header.unusable = 0

    @property
    def draining(self) -> bool:
        """Whether the worker is about to end, and what runs should save what it can."""
        return bool(self._header.draining)

    def drain(self) -> None:
        """Let nothing be claimed from now on, and what runs be told."""
        self._header.closed = self._header.draining = 1

    def take_job(self) -> bool:
        """Whether one more job may be claimed; then it counts."""
        return not self.closed and (self._jobs_left is None or self._jobs_left.acquire(block=False))

    def return_job(self) -> None:
        """The claim missed, and does not count."""
        if self._jobs_left is not None:
            self._jobs_left.release()

    @property
    def counts_jobs(self) -> bool:
        """Whether only so many jobs may be claimed."""
        return self._max_jobs is not None

    @property
    def jobs_used_up(self) -> bool:
        """Whether as many jobs were claimed as may be."""
        return self._max_jobs is not None and self.claims >= self._max_jobs

    @property
    def broken(self) -> bool:
        """Whether a child could not start, and none of its successors will either."""
        return bool(self._header.broken)

    def report_broken(self) -> None:
        """Say so, from the child."""
        self._header.broken = self._header.closed = 1

    @property
    def acquitted_until(self) -> float:
        """Until when, by the monotonic clock, failures here are taken to be the jobs' own fault."""
        return float(self._header.acquitted_until)

    def acquit(self, until: float) -> None:
        """Take failures to be the jobs' own fault for a while."""
        self._header.acquitted_until = until

    @property
    def claims(self) -> int:
        """How many jobs were claimed here so far."""
        return sum(fields.claims for fields in self._used())

    def records(self) -> list[Record]:
        """How the last jobs of each child that has run any went."""
        return [_record(fields) for fields in self._used() if fields.claims]

    def slot(self, index: int) -> Slot:
        """The slot of the pool child with this index, which takes it over from its predecessor."""
        index %= CAPACITY
        fields = self._fields[index]
        if fields.phase != Phase.IDLE and fields.pid != os.getpid():
            self._wills[index] = fields
        return Slot(fields, self._header, index + 1)

    def _used(self) -> list[_Fields]:
        """The slots up to the highest that a child has ever taken."""
        return self._fields[: self._highest()]

    def _highest(self) -> int:
        return bytes(self._header.taken).rfind(1) + 1

    def busy(self) -> Iterator[Running]:
        """All attempts that run here now."""
        for index, fields in enumerate(self._used()):
            if fields.phase != Phase.IDLE and (running := _read(index, fields)) is not None:
                yield running

    def of_claim(self, claim_id: uuid.UUID) -> Running | None:
        """The attempt with this claim, while it runs here."""
        return next((running for running in self.busy() if running.claim_id == claim_id), None)

    def of_pid(self, pid: int) -> Running | None:
        """The attempt of this pool child, or the last one before its death."""
        of_dead = (_read(index, will) for index, will in enumerate(self._wills[: self._highest()]))
        both = itertools.chain(self.busy(), filter(None, of_dead))
        return next((running for running in both if running.pid == pid), None)

    def give(self, running: Running, order: Order, processes: int = 0) -> None:
        """Give an order to an attempt. It is void if the child has moved on.

        Parameters:
            processes: how many processes of the attempt, besides the child, are ended with it.
        """
        fields = self._fields[running.index]
        fields.order = Order.NONE
        fields.order_claim = running.claim_id.hex.encode()
        fields.order_processes = processes
        fields.order_at = time.monotonic()
        fields.order = order

    def clear(self, running: Running) -> None:
        """Forget an attempt whose child is dead, unless another child has the slot by now."""
        fields = self._fields[running.index]
        if fields.pid == running.pid and fields.claim_id == running.claim_id.hex.encode():
            fields.phase = Phase.IDLE
            fields.holding = 0

    def holders(self) -> set[int]:
        """The pids of the children that may hold, or held when they died, more than their slots tell of."""
        used = self._highest()
        return {one.pid for one in (*self._fields[:used], *self._wills[:used]) if one.holding}

    def bury(self, pid: int) -> None:
        """Its death is known, and what it held is seen to."""
        for fields in (*self._used(), *self._wills[: self._highest()]):
            if fields.pid == pid:
                fields.holding = 0

    def mark(self, job_id: int, attempt: int) -> str:
        """What the environment of every process of an attempt carries."""
        return f"{job_id}.{attempt}@{self.token}"


def _record(fields: _Fields) -> Record:
    kept = min(fields.failures, FAILURES_KEPT)
    return Record(
        workflow=fields.workflow.decode(errors="replace"),
        succeeded_at=fields.succeeded_at or None,
        failures=fields.failures,
        failed=tuple(uuid.UUID(fields.failed[i].value.decode()) for i in range(kept)),
    )


def _read(index: int, fields: _Fields) -> Running | None:
    """A consistent reading, or None if the child was just writing."""
    claim, task = fields.claim_id, fields.task_id
    if not claim or not task:
        return None
    running = Running(
        index=index,
        pid=fields.pid,
        phase=Phase(fields.phase),
        claim_id=uuid.UUID(claim.decode()),
        task_id=uuid.UUID(task.decode()),
        job_id=fields.job_id,
        attempt=fields.attempt,
        deadline=fields.deadline,
        retry_in=None if math.isnan(fields.retry_in) else fields.retry_in,
        warned=bool(fields.warned),
        seed=None if fields.seed < 0 else fields.seed,
    )
    unchanged = fields.claim_id == claim and fields.phase == running.phase != Phase.IDLE
    return running if unchanged else None


class Slot:
    """One child's slot, for the child."""

    def __init__(self, fields: _Fields | None = None, header: _Header | None = None, number: int = 0) -> None:
        self._fields = _Fields() if fields is None else fields
        self._header = _Header() if header is None else header
        self._number = number

    @property
    def phase(self) -> Phase:
        """How far this child is."""
        return Phase(self._fields.phase)

    def tells_of(self, claim_id: uuid.UUID) -> bool:
        """Whether this is the claim that the slot tells of."""
        return bool(self._fields.claim_id == claim_id.hex.encode())

    @property
    def order(self) -> Order:
        """The order for the attempt that runs here."""
        fields = self._fields
        return Order(fields.order) if fields.order_claim == fields.claim_id else Order.NONE

    @property
    def order_processes(self) -> int:
        """How many other processes the parent ends with this attempt."""
        return int(self._fields.order_processes)

    @property
    def warned(self) -> bool:
        """Whether somebody else told this child to end: a scheduler signals all processes of a job."""
        return bool(self._fields.warned)

    def note_warning(self) -> None:
        """Say so to the parent, unless the signal belongs to an order for an earlier attempt."""
        fields = self._fields
        just_ordered = time.monotonic() - fields.order_at < _SIGNAL_ARRIVES
        if fields.order_claim == fields.claim_id or not just_ordered:
            fields.warned = 1

    @property
    def failures(self) -> int:
        """How many jobs in a row have failed in this child, each within seconds."""
        return int(self._fields.failures)

    def holding(self) -> None:
        """From now until it is idle, this child may hold more jobs than the one that its slot tells of."""
        self._fields.pid = os.getpid()
        self._fields.holding = 1

    def claiming(self, task_id: uuid.UUID, claim_id: uuid.UUID) -> None:
        """A claim is about to be made, or the next one of a slice to be begun."""
        fields = self._fields
        fields.phase = Phase.IDLE  # while the rest is written
        self._header.taken[self._number - 1] = 1
        fields.pid = os.getpid()
        fields.job_id = fields.attempt = 0
        fields.seed = -1
        fields.deadline, fields.retry_in = math.inf, math.nan
        fields.warned = 0
        fields.task_id = task_id.hex.encode()
        fields.claim_id = claim_id.hex.encode()
        fields.phase = Phase.CLAIMING

    def warming(self) -> None:
        """The function that --startup names runs."""
        self.claiming(_NOBODY, _NOBODY)
        self._fields.phase = Phase.WARMING

    def starting(self, job_id: int, attempt: int, workflow: str) -> None:
        """The claim was granted."""
        fields = self._fields
        fields.job_id, fields.attempt = job_id, attempt
        fields.workflow = workflow.encode()[:199]
        fields.claims += 1
        fields.started = time.monotonic()
        fields.phase = Phase.STARTING

    def running(self, limit: float | None, retry_in: float | None, seed: int) -> None:
        """The workflow begins. It may run for `limit` seconds."""
        self._fields.seed = seed
        self._fields.retry_in = math.nan if retry_in is None else retry_in
        self._fields.deadline = math.inf if limit is None else time.monotonic() + limit
        self._fields.phase = Phase.RUNNING

    def returned(self) -> None:
        """The workflow's function has returned. Whatever ends the attempt now, its work is not done again.

        The limit was the function's: there is time to encode what it returned, whatever is left of it.
        """
        self._fields.retry_in = math.nan
        self._fields.deadline = max(self._fields.deadline, time.monotonic() + _TO_ENCODE)

    def keeping(self) -> None:
        """What it returned is written to a file, which takes as long as it takes."""
        self._fields.deadline = math.inf

    def finishing(self, *, succeeded: bool, failed: bool) -> None:
        """The outcome is known. From now on nobody ends this attempt."""
        fields = self._fields
        now = time.monotonic()
        if succeeded:
            fields.succeeded_at = now
        if failed and now - fields.started < QUICK:
            fields.failed[fields.failures % FAILURES_KEPT].value = fields.task_id
            fields.failures += 1
        else:
            fields.failures = 0
        fields.deadline = math.inf
        fields.phase = Phase.FINISHING

    def idle(self) -> None:
        """The end is recorded, or there was nothing to run."""
        self._fields.phase = Phase.IDLE
        self._fields.holding = 0


def token_of(process: str, pid: int) -> str:
    """What marks all processes of a worker's jobs, from what identifies the worker's own process."""
    return hashlib.sha256(f"{process}|{pid}".encode()).hexdigest()[:16]


# The worker's slots, set before its pool forks; and this process's own, set in each pool child.
shared: Slots | None = None
mine = Slot()


def in_pool_child() -> bool:
    """Whether this is a child of a worker's pool, and not the worker itself, or any other process."""
    return shared is not None and shared.owner != os.getpid()


def closed() -> bool:
    """Whether this worker claims nothing any more."""
    return shared is not None and shared.closed


def should_stop() -> bool:
    """Whether the attempt that runs in this process should save what it can and end."""
    ending = shared is not None and shared.draining
    return ending or mine.warned or mine.order is not Order.NONE
