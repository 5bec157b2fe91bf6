"""Record: put jobs on the board, each with its dependency edges, in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from simcelery.board import copying, dependencies, engine, fingerprints, sql, transitions
from simcelery.board.gates import Behind
from simcelery.board.models import Job
from simcelery.board.rows import COLUMNS, Row, lines, shared
from simcelery.board.sql_helpers import among
from simcelery.board.states import UNSUCCESSFUL, WAITING, State
from simcelery.board.submitting import is_timed, numbered
from simcelery.board.values import (
    NewJob,
    Recorded,
)
from simcelery.errors import StateError
from simcelery.needs import Needs

OnFailed = Literal["retry", "keep", "error"]
# From here on COPY beats a multi-row INSERT.
_COPY_FROM = 200
# More holders of the same key than this are not pruned in a row.
_TRIES = 3


def allocate_ids(connection: Connection, count: int) -> list[int]:
    """Ids for jobs to record, in ascending order."""
    return numbered(connection, count)


def record(
    connection: Connection,
    jobs: Sequence[NewJob],
    *,
    on_failed: OnFailed = "retry",
    behind: Behind | None = None,
) -> list[Recorded]:
    """Record jobs, or find existing ones.

    A job with the same idempotency key is reused; with `dedupe`, so is any job that is the same.

    Parameters:
        jobs: in the order of their ids; those without an id are given one.
        on_failed: what to do if the existing job failed, was cancelled or has a failed parent.
        behind: the gate of those that are new; existing jobs are left where they are.

    Raises:
        JobNotFoundError: a parent is not on the board.
        StateError: an existing job has failed, and `on_failed` is ``error``.
    """
    if any(job.idempotency_key is not None for job in jobs):
        fingerprints.hold_parameters(connection)
    unnumbered = [job for job in jobs if job.id is None]
    fresh_ids = iter(allocate_ids(connection, len(unnumbered)) if unnumbered else [])
    ids = [job.id if job.id is not None else next(fresh_ids) for job in jobs]
    unmet = dependencies.count_unmet(connection, ids, jobs)
    now = connection.scalar(select(func.clock_timestamp())) if any(is_timed(job) for job in jobs) else None
    needed = _needed(connection, jobs)
    rows = [
        _row(job, number, unmet.get(number, 0), now, behind, place, needed.get(job.needs))
        for place, (job, number) in enumerate(zip(jobs, ids, strict=True))
    ]
    taken, holders = _insert_or_find(connection, rows, on_failed)
    dependencies.add(
        connection,
        {n: job for job, n in zip(jobs, ids, strict=True) if job.waits_for and n in taken},
    )
    return [
        Recorded(row.id, row.job.task_id, "new", row.state)
        if row.id in taken
        else holders[row.job.idempotency_key or ""]
        for row in rows
    ]


def _insert_or_find(
    connection: Connection, rows: list[Row], on_failed: OnFailed
) -> tuple[set[int], dict[str, Recorded]]:
    """The ids that were inserted, and the jobs that hold the other rows' keys."""
    taken: set[int] = set()
    holders: dict[str, Recorded] = {}
    for _ in range(_TRIES):
        same = fingerprints.same(
            connection, {row.job.idempotency_key or "": row.job for row in rows if row.job.dedupe}
        )
        new = [row for row in rows if row.job.idempotency_key not in same]
        taken |= _insert(connection, new) if new else set()
        left = [row for row in rows if row.id not in taken]
        holders |= _holders(connection, left, same, on_failed)
        # A holder may have been pruned since it was in the way: then its key is free.
        rows = [row for row in left if row.job.idempotency_key not in holders]
        if not rows:
            break
    return taken, holders


def _needed(connection: Connection, jobs: Iterable[NewJob]) -> dict[Needs | None, int]:
    """The rows of what these jobs need."""
    asked = {job.needs for job in jobs if job.needs is not None}
    return {
        one: sql.execute(connection, "needs_of", needs=engine.as_json(asdict(one))).scalar_one()
        for one in sorted(
            asked, key=repr
        )  # so that two submissions wait for each other in one direction only
    }


def _row(
    job: NewJob,
    number: int,
    unmet: int,
    now: dt.datetime | None,
    behind: Behind | None = None,
    place: int = 0,
    needs_id: int | None = None,
) -> Row:
    run_at = job.run_at
    if job.delay is not None and now is not None:
        run_at = now + dt.timedelta(seconds=job.delay)
    if unmet or (behind is not None and behind.closed and place not in behind.canaries):
        state = State.BLOCKED
    elif run_at is not None and now is not None and run_at > now:
        state = State.SCHEDULED
    else:
        state = State.PENDING
    return Row(job, number, unmet, state, run_at, behind.gate_id if behind else None, needs_id)


def _values(row: Row) -> dict[str, Any]:
    job = row.job
    return {
        "id": row.id,
        "task_id": job.task_id,
        "parameters": job.parameters,
        "idempotency_key": job.idempotency_key,
        "state": row.state,
        "run_at": row.run_at,
        "unmet": row.unmet,
        "gate_id": row.gate_id,
        "needs_id": row.needs_id,
        **shared(job),
    }


def _insert(connection: Connection, rows: list[Row]) -> set[int]:
    """Insert the rows whose key is free; return the ids that were inserted."""
    keyed = any(row.job.idempotency_key is not None for row in rows)
    if len(rows) >= _COPY_FROM:
        return _copy_keyed(connection, rows) if keyed else _copy(connection, "jobs", rows)
    if not keyed:
        connection.execute(insert(Job), [_values(row) for row in rows])
        return {row.id for row in rows}
    # In the order of the keys, so that two submissions of the same keys wait for each other in one
    # direction only.
    statement = pg_insert(Job).on_conflict_do_nothing().returning(Job.id)
    ordered = sorted(rows, key=lambda row: (row.job.idempotency_key or "", row.id))
    return set(connection.scalars(statement, [_values(row) for row in ordered]))


def _copy(connection: Connection, table: str, rows: list[Row]) -> set[int]:
    driver = connection.connection.driver_connection  # SQLAlchemy has no COPY
    assert driver is not None
    copying.copy(driver, f"{table} ({COLUMNS})", lines(rows))
    return {row.id for row in rows}


def _copy_keyed(connection: Connection, rows: list[Row]) -> set[int]:
    """COPY into a temporary table, then insert the rows whose key is free."""
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE new_jobs (LIKE jobs INCLUDING DEFAULTS EXCLUDING IDENTITY) ON COMMIT DROP"
        )
    )
    _copy(connection, "new_jobs", rows)
    inserted = connection.scalars(
        text(
            f"INSERT INTO jobs ({COLUMNS}) SELECT {COLUMNS} FROM new_jobs "
            "ORDER BY idempotency_key, id ON CONFLICT DO NOTHING RETURNING id"
        )
    )
    ids = set(inserted)
    connection.execute(text("DROP TABLE new_jobs"))
    return ids


def _holders(
    connection: Connection, rows: list[Row], same: Mapping[str, int], on_failed: OnFailed
) -> dict[str, Recorded]:
    """The jobs that hold the keys of these rows, or are the `same`."""
    wanted = {row.job.idempotency_key or "": row.job for row in rows}
    ids = {**fingerprints.by_key(connection, wanted.keys() - same.keys()), **same}
    if not ids:
        return {}
    # All at once, in the order of their ids; nobody moves them until this transaction ends.
    found = connection.execute(
        select(Job.id, Job.task_id, Job.state, Job.workflow)
        .where(among(Job.id, ids.values()))
        .order_by(Job.id)
        .with_for_update()
    ).all()
    jobs = {job.id: job for job in found}
    holders = {key: jobs[number] for key, number in ids.items() if number in jobs}
    for key, job in holders.items():
        check_found(job.id, job.state, job.workflow, wanted[key], on_failed)
    revived: set[int] = set()
    unsuccessful = [job.id for job in found if job.state in UNSUCCESSFUL]
    if unsuccessful and on_failed == "retry":
        back = transitions.retry(connection, unsuccessful, with_parents=True, by=rows[0].job.submitted_by)
        revived = {job.id for job in back}
    _renew(connection, {job.id: wanted[key] for key, job in holders.items()})
    return {
        key: Recorded(job.id, job.task_id, "retried" if job.id in revived else "existing")
        for key, job in holders.items()
    }


def _renew(connection: Connection, found: Mapping[int, NewJob]) -> None:
    """Give jobs that still wait the parameter that `renews` names, as the new ones have it."""
    given = {number: (new.renews, new.parameters[new.renews]) for number, new in found.items() if new.renews}
    if not given:
        return
    rows = connection.execute(
        select(Job.id, Job.parameters).where(among(Job.id, given), Job.state.in_(WAITING)).order_by(Job.id)
    )
    changes = {
        row.id: {name: value}
        for row in rows
        for name, value in [given[row.id]]
        if row.parameters.get(name) != value
    }
    if not changes:
        return
    by = next(iter(found.values())).submitted_by
    sql.execute(connection, "revise", ids=list(changes), changes=engine.as_json(changes), keys="{}", by=by)
    fingerprints.renew(connection, changes)


def check_found(number: int, state: str, workflow: str, new: NewJob, on_failed: OnFailed) -> None:
    """Whether a new job may take an existing one's place.

    Raises:
        StateError: that is one of another workflow, or has failed, and `on_failed` is ``error``.
    """
    if workflow != new.workflow:
        raise StateError(f"job {number} of {workflow} already has this key: choose another")
    if state in UNSUCCESSFUL and on_failed == "error":
        what = "parameters" if new.dedupe else "key"
        raise StateError(f"job {number} has the same {what} and is {state}: retry it, or choose another key")
