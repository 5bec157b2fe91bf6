"""The child's side: a pool child says what it does, and heeds what it is told."""

from __future__ import annotations

import math
import os
import time
import uuid

from simcelery.log_records import NOTHING, About
from simcelery.worker.slots.layout import (
    CAPACITY,
    FAILURES_KEPT,
    NAME_BYTES,
    NO_SEED,
    PROGRESS_BYTES,
    Fields,
    Memory,
    Order,
    Phase,
)
from simcelery.worker.slots.permits import Permits

_NOBODY = uuid.UUID(int=0)
_SIGNAL_ARRIVES = 5.0  # seconds from an order to the signal that goes with it, at most
_TO_ENCODE = 15.0  # seconds
QUICK = 10.0  # seconds: a failure that comes sooner may be the node's fault


class Slot:
    """One process's own.

    Parameters:
        fields: where it writes.

    Attributes:
        memory: of its worker.
        in_pool_child: whether the process is a child of a worker's pool, which may be changed and ended.
        alone: whether it runs one job at a time, and so may enter that job's folder.
    """

    in_pool_child = True
    alone = True

    def __init__(self, memory: Memory, fields: Fields) -> None:
        self.memory = memory
        self._fields = fields
        self._header = memory.header
        self._permits = Permits(memory, fields)

    @classmethod
    def taken(cls, memory: Memory, index: int) -> Slot:
        """The slot of the pool child with this index, taken over from its predecessor."""
        index %= CAPACITY
        fields = memory.fields[index]
        if fields.pid != os.getpid():
            if fields.phase != Phase.IDLE:
                memory.wills[index] = fields
            fields.permits = 0
        memory.header.taken[index] = 1
        return cls(memory, fields)

    # --- what holds for the whole worker ---

    def is_closed(self) -> bool:
        """Whether this worker claims no more jobs."""
        return bool(self._header.closed)

    def should_stop(self) -> bool:
        """Whether the attempt that runs here should save its work and exit."""
        return bool(self._header.draining) or self.warned or self.order is not Order.NONE

    @property
    def acquitted(self) -> bool:
        """Whether failures here are taken to be the jobs' own fault."""
        return bool(self._header.acquitted_until > time.monotonic())

    def report_unusable(self) -> None:
        """Report that no files can be written on this node: nothing is claimed any more."""
        self._header.unusable = self._header.closed = 1

    def report_broken(self) -> None:
        """Report that this child could not start, and no successor will: nothing is claimed any more."""
        self._header.broken = self._header.closed = 1

    @property
    def crowded(self) -> bool:
        """Whether a limit of this host has ever kept a child from running a job, so that its end is told."""
        return bool(self._header.crowded)

    def report_crowded(self) -> None:
        """Report that a limit of this host keeps jobs from running here."""
        self._header.crowded = 1

    @property
    def counts_jobs(self) -> bool:
        """Whether the number of jobs that may be claimed is limited."""
        return self.memory.max_jobs is not None

    def take_job(self) -> bool:
        """Whether one more job may be claimed; if so, it counts."""
        return not self.is_closed() and self._permits.take()

    def return_job(self) -> None:
        """The claim failed, and does not count."""
        self._permits.give_back()

    def mark(self, job_id: int, attempt: int) -> str:
        """The mark in the environment of every process of an attempt."""
        return self.memory.mark(job_id, attempt)

    # --- what it is told ---

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
    def measured(self) -> tuple[int, int]:
        """Bytes that the processes of this attempt use together, and the most of it; 0 if nobody measured."""
        fields = self._fields
        mine = fields.measured_claim == fields.claim_id
        return (int(fields.used), int(fields.peak)) if mine else (0, 0)

    @property
    def warned(self) -> bool:
        """Whether not the parent told this child to end: a scheduler signals all processes of a job."""
        return bool(self._fields.warned)

    def note_warning(self) -> None:
        """Tell the parent, unless the signal belongs to an order for an earlier attempt."""
        fields = self._fields
        just_ordered = time.monotonic() - fields.order_at < _SIGNAL_ARRIVES
        if fields.order_claim == fields.claim_id or not just_ordered:
            fields.warned = 1

    # --- what it says of itself ---

    @property
    def phase(self) -> Phase:
        """What this child is doing."""
        return Phase(self._fields.phase)

    def about(self) -> About:
        """What this child runs, for the fields of log records."""
        fields = self._fields
        if fields.phase not in (Phase.STARTING, Phase.RUNNING, Phase.FINISHING):
            return NOTHING
        return About(fields.job_id, fields.attempt, str(uuid.UUID(fields.claim_id.decode())))

    def tells_of(self, claim_id: uuid.UUID) -> bool:
        """Whether this is the claim that the slot tells of."""
        return bool(self._fields.claim_id == claim_id.hex.encode())

    @property
    def failures(self) -> int:
        """How many jobs in a row have failed in this child, each within seconds."""
        return int(self._fields.failures)

    def holding(self) -> None:
        """From now until it is idle, this child may hold more jobs than the one in its slot."""
        self._fields.pid = os.getpid()
        self._fields.holding = 1

    def claiming(self, task_id: uuid.UUID, claim_id: uuid.UUID) -> None:
        """A claim is about to be made, or the next job of a slice to be started."""
        fields = self._fields
        fields.phase = Phase.IDLE  # while the rest is written
        fields.pid = os.getpid()
        fields.job_id = fields.attempt = 0
        fields.seed = NO_SEED
        fields.output = 0
        fields.progress, fields.progress_version = b"", 0  # a predecessor may have died while it wrote
        fields.deadline, fields.retry_in = math.inf, math.nan
        fields.memory, fields.memory_retry_in, fields.memory_left = 0, math.nan, 0
        fields.warned = 0
        fields.task_id = task_id.hex.encode()
        fields.claim_id = claim_id.hex.encode()
        fields.phase = Phase.CLAIMING

    def warming(self) -> None:
        """The function given to --startup is running."""
        self.claiming(_NOBODY, _NOBODY)
        self._fields.phase = Phase.WARMING

    def starting(self, job_id: int, attempt: int, workflow: str) -> None:
        """The claim was granted."""
        fields = self._fields
        fields.job_id, fields.attempt = job_id, attempt
        fields.workflow = workflow.encode()[:NAME_BYTES]
        self._permits.use()
        fields.started = time.monotonic()
        fields.phase = Phase.STARTING

    def running(
        self,
        limit: float | None,
        retry_in: float | None,
        seed: int,
        memory: int | None = None,
        memory_retry_in: float | None = None,
        memory_left: int = 0,
    ) -> None:
        """The workflow starts. It may run for `limit` seconds, and use so many bytes of `memory`.

        Parameters:
            retry_in, memory_retry_in: seconds until the next attempt if it exceeds that; None: it is final.
            memory_left: bytes that jobs before it have left in use in this process.
        """
        self._fields.seed = seed
        self._fields.memory, self._fields.memory_left = memory or 0, memory_left
        self._fields.memory_retry_in = math.nan if memory_retry_in is None else memory_retry_in
        self._fields.retry_in = math.nan if retry_in is None else retry_in
        self._fields.deadline = math.inf if limit is None else time.monotonic() + limit
        self._fields.phase = Phase.RUNNING

    def printing(self, number: int) -> None:
        """What the attempt prints goes to the file with this number, which has nothing else in it."""
        self._fields.output = number

    @property
    def sent(self) -> int | None:
        """How many chunks of this attempt's output need not be written again; None: nobody has sent any."""
        fields = self._fields
        return int(fields.sent) if fields.sent_claim == fields.claim_id else None

    def report(self, progress: bytes) -> bool:
        """Have the parent write to the board how far the job is; False: it cannot.

        Parameters:
            progress: as JSON.
        """
        if len(progress) >= PROGRESS_BYTES or not self.in_pool_child:
            return False
        fields = self._fields
        fields.progress_version += 1  # odd while it is written
        fields.progress = progress
        fields.progress_version += 1
        return True

    def returned(self) -> None:
        """The workflow's function has returned. Whatever ends the attempt now, its work is not repeated.

        The limit was the function's: there is time to encode what it returned, whatever is left of the
        limit.
        """
        self._fields.retry_in = self._fields.memory_retry_in = math.nan
        self._fields.deadline = max(self._fields.deadline, time.monotonic() + _TO_ENCODE)

    def keeping(self) -> None:
        """What the function returned is being written to a file, however long that takes."""
        self._fields.deadline = math.inf

    def finishing(self, *, succeeded: bool, failed: bool) -> None:
        """The outcome is known. From now on this attempt is not ended any more."""
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

    def freed(self) -> None:
        """What a job needed of the node is free, or its place on the host: its end is on the board."""
        self._fields.freed += 1

    def idle(self) -> None:
        """The end is on the board, or there was nothing to run."""
        self._fields.phase = Phase.IDLE
        self._fields.holding = 0


class Outside(Slot):
    """The slot of a process that is not a pool child: nobody reads it or gives it orders.

    In a worker's own process, where jobs run with ``--unsafe-pool``, it heeds what holds for the worker.
    """

    in_pool_child = False

    def __init__(self, memory: Memory, *, alone: bool) -> None:
        super().__init__(memory, memory.own)
        self.alone = alone
