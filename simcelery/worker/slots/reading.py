"""What the parent reads in a slot."""

from __future__ import annotations

import math
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass

from simcelery.log_records import about
from simcelery.worker.slots.layout import FAILURES_KEPT, NO_SEED, Fields, Phase


@dataclass(frozen=True)
class Running:
    """What a slot says at one moment. Times are of the monotonic clock, which all processes share.

    Attributes:
        seed: what its random numbers began with; None: they have not.
        deadline: when the attempt is to be ended for running too long; infinity if never.
        memory: bytes that its processes may use together; None: it has not said.
        retry_in, memory_retry_in: seconds until the next attempt after that, or None: it is final.
        memory_left: bytes of it that jobs before have left in use, and that are not counted.
        started: when the claim was granted.
        output: the number of the file with what it prints; 0: there is none yet.
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
    started: float = math.inf
    output: int = 0
    memory: int | None = None
    memory_retry_in: float | None = None
    memory_left: int = 0

    def in_log(self) -> AbstractContextManager[None]:
        """What is logged in the block tells of this attempt."""
        return about(self.job_id, self.attempt, self.claim_id)

    @classmethod
    def gone(cls, pid: int, claim_id: uuid.UUID, task_id: uuid.UUID, job_id: int, attempt: int) -> Running:
        """An attempt that only the board still knows."""
        return cls(0, pid, Phase.RUNNING, claim_id, task_id, job_id, attempt, math.inf, None, False)


@dataclass(frozen=True)
class History:
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


def running_in(index: int, fields: Fields) -> Running | None:
    """A consistent reading; None if nothing runs there, or the child was just writing."""
    claim, task = fields.claim_id, fields.task_id
    if fields.phase == Phase.IDLE or not claim or not task:
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
        retry_in=_known(fields.retry_in),
        warned=bool(fields.warned),
        seed=None if fields.seed == NO_SEED else fields.seed,
        started=fields.started,
        output=fields.output,
        memory=fields.memory or None,
        memory_retry_in=_known(fields.memory_retry_in),
        memory_left=fields.memory_left,
    )
    unchanged = fields.claim_id == claim and fields.phase == running.phase != Phase.IDLE
    return running if unchanged else None


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds


def history_of(fields: Fields) -> History:
    """How the last jobs of the child in this slot, and of those before it, went."""
    kept = min(fields.failures, FAILURES_KEPT)
    return History(
        workflow=fields.workflow.decode(errors="replace"),
        succeeded_at=fields.succeeded_at or None,
        failures=fields.failures,
        failed=tuple(uuid.UUID(fields.failed[i].value.decode()) for i in range(kept)),
    )
