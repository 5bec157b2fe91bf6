"""Record: put jobs on the board, each with its dependency edges, in the caller's transaction."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from simcelery.board import dependencies, transitions
from simcelery.board.models import Job
from simcelery.board.states import UNSUCCESSFUL, State
from simcelery.errors import StateError

OnFailed = Literal["retry", "keep", "error"]
# From here on COPY beats a multi-row INSERT.
_COPY_FROM = 200
# More holders of the same key than this are not pruned in a row.
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to record. `parameters` are encoded; durations are seconds.

    `run_at` is a moment; `delay` counts from the board's now. `parents` are ids of jobs to wait for,
    recorded before or earlier in the same call.
    """

    workflow: str
    parameters: Mapping[str, Any]
    queue: str
    priority: int
    max_attempts: int
    max_losses: int
    submitted_by: str
    id: int | None = None
    task_id: uuid.UUID = field(default_factory=uuid.uuid4)
    tags: Sequence[str] = ()
    idempotency_key: str | None = None
    parent_id: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    run_at: dt.datetime | None = None
    delay: float | None = None
    parents: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Recorded:
    """What became of a job to record.

    Attributes:
        how: ``new``; ``existing``: a live or succeeded job holds the key; ``retried``: one that had
            failed holds it and was sent back to work.
        state: of a new job: pending, scheduled or blocked.
    """

    id: int
    task_id: uuid.UUID
    how: Literal["new", "existing", "retried"]
    state: State = State.PENDING


def allocate_ids(connection: Connection, count: int) -> list[int]:
    """Ids for jobs to record, in ascending order."""
    rows = connection.scalars(
        text("SELECT nextval(pg_get_serial_sequence('jobs', 'id')) FROM generate_series(1, :count)"),
        {"count": count},
    )
    return sorted(rows)


def record(
    connection: Connection, jobs: Sequence[NewJob], *, on_failed: OnFailed = "retry"
) -> list[Recorded]:
    """Record jobs. One with the idempotency key of another job gives that job instead.

    Parameters:
        jobs: in the order of their ids; those without an id are given one.
        on_failed: what to do where the key's holder failed, was cancelled or has a failed parent.

    Raises:
        JobNotFoundError: a parent is not on the board.
        StateError: a holder has failed and `on_failed` is ``error``.
    """
    unnumbered = [job for job in jobs if job.id is None]
    fresh_ids = iter(allocate_ids(connection, len(unnumbered)) if unnumbered else [])
    ids = [job.id if job.id is not None else next(fresh_ids) for job in jobs]
    unmet = dependencies.count_unmet(connection, ids, [job.parents for job in jobs])
    now = connection.scalar(select(func.clock_timestamp())) if any(_timed(job) for job in jobs) else None
    rows = [_row(job, number, unmet.get(number, 0), now) for job, number in zip(jobs, ids, strict=True)]
    taken, holders = _insert_or_find(connection, rows, on_failed)
    dependencies.add(connection, {n: job.parents for job, n in zip(jobs, ids, strict=True) if n in taken})
    return [
        Recorded(row["id"], row["task_id"], "new", row["state"])
        if row["id"] in taken
        else holders[row["idempotency_key"]]
        for row in rows
    ]


def _insert_or_find(
    connection: Connection, rows: list[dict[str, Any]], on_failed: OnFailed
) -> tuple[set[int], dict[str, Recorded]]:
    """The ids that went in, and the holders of the other rows' keys."""
    taken: set[int] = set()
    holders: dict[str, Recorded] = {}
    for _ in range(_TRIES):
        taken |= _insert(connection, rows) if rows else set()
        left = [row for row in rows if row["id"] not in taken]
        holders |= _holders(connection, left, on_failed)
        # A holder may have been pruned since it was in the way: then its key is free.
        rows = [row for row in left if row["idempotency_key"] not in holders]
    return taken, holders


def _timed(job: NewJob) -> bool:
    return job.run_at is not None or job.delay is not None


def _row(job: NewJob, number: int, unmet: int, now: dt.datetime | None) -> dict[str, Any]:
    run_at = job.run_at
    if job.delay is not None and now is not None:
        run_at = now + dt.timedelta(seconds=job.delay)
    if unmet:
        state = State.BLOCKED
    elif run_at is not None and now is not None and run_at > now:
        state = State.SCHEDULED
    else:
        state = State.PENDING
    return {
        "id": number,
        "task_id": job.task_id,
        "workflow": job.workflow,
        "parameters": job.parameters,
        "state": state,
        "queue": job.queue,
        "priority": job.priority,
        "tags": list(job.tags),
        "idempotency_key": job.idempotency_key,
        "parent_id": job.parent_id,
        "max_attempts": job.max_attempts,
        "max_losses": job.max_losses,
        "time_limit": job.time_limit,
        "soft_time_limit": job.soft_time_limit,
        "run_at": run_at,
        "unmet": unmet,
        "submitted_by": job.submitted_by,
    }


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> set[int]:
    """Insert what no key forbids; the ids that went in."""
    keyed = any(row["idempotency_key"] is not None for row in rows)
    if len(rows) >= _COPY_FROM:
        return _copy_keyed(connection, rows) if keyed else _copy(connection, "jobs", rows)
    if not keyed:
        connection.execute(insert(Job), rows)
        return {row["id"] for row in rows}
    # In the order of the keys, so that two submissions of the same keys wait for each other in one
    # direction only.
    statement = pg_insert(Job).on_conflict_do_nothing().returning(Job.id)
    ordered = sorted(rows, key=lambda row: (row["idempotency_key"] or "", row["id"]))
    return set(connection.scalars(statement, ordered))


def _copy(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """COPY rows into a table. psycopg's own cursor: SQLAlchemy has no COPY."""
    ids: set[int] = set()
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        names = list(rows[0])
        columns = [f'"{name}"' for name in names]
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                ids.add(row["id"])
                copy.write_row([_cell(name, row[name]) for name in names])
    return ids


def _cell(name: str, value: Any) -> Any:
    if name == "parameters":
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return str(value) if name == "state" else value


def _copy_keyed(connection: Connection, rows: list[dict[str, Any]]) -> set[int]:
    """COPY beside the table, then insert what no key forbids."""
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE new_jobs (LIKE jobs INCLUDING DEFAULTS EXCLUDING IDENTITY) ON COMMIT DROP"
        )
    )
    _copy(connection, "new_jobs", rows)
    columns = ", ".join(f'"{name}"' for name in rows[0])
    inserted = connection.scalars(
        text(
            f"INSERT INTO jobs ({columns}) SELECT {columns} FROM new_jobs "
            "ORDER BY idempotency_key, id ON CONFLICT DO NOTHING RETURNING id"
        )
    )
    ids = set(inserted)
    connection.execute(text("DROP TABLE new_jobs"))
    return ids


def _holders(connection: Connection, rows: list[dict[str, Any]], on_failed: OnFailed) -> dict[str, Recorded]:
    """The jobs that hold the keys of these rows."""
    keys = {row["idempotency_key"] for row in rows}
    if not keys:
        return {}
    found = connection.execute(
        select(Job.id, Job.task_id, Job.state, Job.workflow, Job.idempotency_key)
        .where(Job.idempotency_key.in_(keys))
        .order_by(Job.id)
        .with_for_update()
    ).all()
    wanted = {row["idempotency_key"]: row["workflow"] for row in rows}
    for job in found:
        if job.workflow != wanted[job.idempotency_key]:
            raise StateError(f"job {job.id} of {job.workflow} has this key already: choose another key")
    unsuccessful = [job for job in found if job.state in UNSUCCESSFUL]
    if unsuccessful and on_failed == "error":
        first = unsuccessful[0]
        raise StateError(
            f"job {first.id} has the same key and is {first.state}: retry it, or choose another key"
        )
    revived: set[int] = set()
    if unsuccessful and on_failed == "retry":
        ids = [job.id for job in unsuccessful]
        revived = {job.id for job in transitions.retry(connection, ids, with_parents=True)}
    return {
        job.idempotency_key: Recorded(job.id, job.task_id, "retried" if job.id in revived else "existing")
        for job in found
        if job.idempotency_key is not None
    }
