"""Short ways to put jobs on the board in tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from simcelery.board import engine, gates, leases, reads, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.reads.identity import identity
from simcelery.board.reads.jobs import JobRow
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import (
    Claim,
    ClaimRequest,
    EndedAttempt,
    FinishedJob,
    NewJob,
    Recorded,
    Registration,
)
from simcelery.broker import lanes
from simcelery.execution.workdir import path_of
from simcelery.services import Services
from simcelery.settings import get_settings

SUCCESS = EndedAttempt(outcome=Outcome.SUCCEEDED, result=1)
ERROR = EndedAttempt(outcome=Outcome.FAILED, cause=Cause.ERROR, error_type="ValueError", error_message="boom")
AGAIN = EndedAttempt(
    outcome=Outcome.FAILED, cause=Cause.ERROR, error_type="ValueError", error_message="boom", retry_in=0.0
)
LOST = EndedAttempt(
    outcome=Outcome.LOST, cause=Cause.WORKER_LOST, error_type="LostWorkerError", error_message="gone"
)


def new_job(**changes: Any) -> NewJob:
    """A job of a workflow called ``w``."""
    values: dict[str, Any] = {
        "workflow": "w",
        "parameters": {},
        "queue": "default",
        "priority": 4,
        "max_attempts": 1,
        "max_losses": 5,
        "submitted_by": "test",
    }
    if "parents" in changes:
        changes["parents"] = frozenset(changes["parents"])
    return NewJob(**(values | changes))


def record(**changes: Any) -> Recorded:
    """Record one job."""
    with engine.begin() as connection:
        return transitions.record(connection, [new_job(**changes)])[0]


def sweep(count: int, canaries: Sequence[int] = (), **asked: Any) -> list[Recorded]:
    """So many jobs behind a gate."""
    with engine.begin() as connection:
        number = gates.create(connection, NewGate("w", ("t",), "test", canary=len(canaries) or None, **asked))
        place = Behind(number, bool(canaries), frozenset(canaries))
        found = transitions.record(
            connection, [new_job(tags=["t"], max_attempts=9) for _ in range(count)], behind=place
        )
        gates.add_canaries(connection, number, [found[one].id for one in canaries])
    return found


@contextmanager
def uncommitted_claim(job: Recorded, me: int) -> Iterator[None]:
    """While a worker has claimed a job, and the claim has not committed yet."""
    with engine.begin() as connection:
        asked = "SELECT id FROM claim_jobs(%s, 'w', gen_random_uuid(), %s, 7, 'default', 0, 0, %s)"
        given = (job.task_id, me, registration(me).key)
        assert connection.exec_driver_sql(asked, given).all()
        yield


def somebody_waits_for_a_turn() -> bool:
    """Whether a session waits for an advisory lock."""
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(sql(waits)[0][0])


def worker(lease: float = 600.0, **changes: Any) -> int:
    """A worker with a lease."""
    values: dict[str, Any] = {
        "nodename": "w@test",
        "host": "test",
        "pid": 1,
        "queues": ["default"],
        "concurrency": 1,
        "scheduler_job_id": None,
        "version": "0",
        "lease": lease,
    }
    with engine.begin() as connection:
        return leases.register(connection, **(values | changes)).worker_id


def registration(worker_id: int) -> Registration:
    """What the worker knows itself by."""
    rows = sql("SELECT registration FROM workers WHERE id = :id", id=worker_id)
    return Registration(worker_id, rows[0][0] if rows else uuid.uuid4())


def lane(workflow: str = "w", queue: str = "default", priority: int = 4) -> str:
    """The list in Redis that holds the messages of these jobs."""
    name, rank = lanes.lane(queue, workflow), lanes.redis_priority(priority)
    return f"{name}\x06\x16{rank}" if rank else name


def lapse(worker_id: int, ago: float = 3600.0) -> None:
    """As if the worker had not renewed: its lease ended `ago` seconds ago."""
    sql(
        "UPDATE workers SET lease_expires_at = now() - make_interval(secs => :ago) WHERE id = :id",
        ago=ago,
        id=worker_id,
    )


def sql(statement: str, **parameters: Any) -> Any:
    """Execute a statement as is; the rows that it returns, if any."""
    with engine.begin() as connection:
        result = connection.execute(text(statement), parameters)
        return result.all() if result.returns_rows else None


def cut_transactions(board: Services) -> None:
    """End the connections to the board that are in a transaction."""
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE state = 'idle in transaction' AND datname = current_database()"
        )


def claim(task_id: uuid.UUID, worker_id: int, *, pid: int = 100, workflow: str = "w") -> Claim | None:
    """Claim a job in a transaction of its own."""
    claimed = transitions.claim(ClaimRequest(task_id, workflow, uuid.uuid4(), registration(worker_id), pid))
    return claimed[0] if claimed else None


def must_claim(task_id: uuid.UUID, worker_id: int, *, pid: int = 100, workflow: str = "w") -> Claim:
    """Claim a job that can be claimed."""
    claimed = claim(task_id, worker_id, pid=pid, workflow=workflow)
    assert claimed is not None
    return claimed


def finish(claimed: Claim, report: EndedAttempt = SUCCESS) -> FinishedJob | None:
    """Finish an attempt in a transaction of its own."""
    with engine.begin() as connection:
        return transitions.finish(connection, transitions.by_claim(claimed.task_id, claimed.claim_id), report)


def cancel(*ids: int) -> tuple[list[int], list[int]]:
    """Cancel by hand: the ids cancelled at once, and those that were asked to stop."""
    with engine.begin() as connection:
        return transitions.cancel(connection, ids, by="test")


def retry(*ids: int, **options: bool) -> list[int]:
    """Retry by hand: the ids of those that run again."""
    with engine.begin() as connection:
        return [job.id for job in transitions.retry(connection, ids, by="test", **options)]


def settle() -> None:
    """Settle until nothing moves."""
    with engine.begin() as connection:
        step = transitions.settle(connection, 1000)
        while step.more:
            step = transitions.settle(connection, 1000, step.place)


def row(job_id: int) -> JobRow:
    """A job as it stands."""
    with engine.begin() as connection:
        found = reads.job(connection, job_id)
    assert found is not None
    return found


def state(job_id: int) -> str:
    """A job's state."""
    return str(row(job_id).state)


def states(jobs: Iterable[Recorded]) -> list[str]:
    """The states of these jobs."""
    return [state(job.id) for job in jobs]


def log(job_id: int, text: str, seq: int = 0) -> None:
    """Something that its first attempt has printed."""
    sql(
        "INSERT INTO log_chunks (job_id, attempt, seq, text) VALUES (:job, 1, :seq, :text)",
        job=job_id,
        seq=seq,
        text=text,
    )


def attempts(job_id: int) -> list[dict[str, Any]]:
    """A job's ended attempts."""
    with engine.begin() as connection:
        return reads.attempts(connection, job_id)


def folder_of(claimed: Claim) -> Path:
    """The workdir that a worker with these settings makes for an attempt."""
    with engine.begin() as connection:
        board = identity(connection)
    settings = get_settings()
    return Path(path_of(settings.workdirs, board, claimed.job_id, claimed.attempt, claimed.claim_id))
