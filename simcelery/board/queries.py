"""Reading the board: jobs for people and handles, counts, one job's whole story."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, or_, select

from simcelery.board.among import among
from simcelery.board.models import Attempt, Job, LogChunk, Worker
from simcelery.board.seconds import seconds
from simcelery.board.states import TERMINAL, State


@dataclass(frozen=True)
class JobRow:
    """One job as people see it. `error` is ``type: message``; `worker` is the last worker's nodename."""

    id: int
    task_id: uuid.UUID
    workflow: str
    parameters: dict[str, Any]
    state: State
    queue: str
    priority: int
    tags: list[str]
    attempt: int
    result: Any
    error: str | None
    error_type: str | None
    submitted_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    worker: str | None
    pid: int | None
    failures: int
    losses: int
    max_attempts: int
    max_losses: int
    time_limit: float | None
    run_at: dt.datetime | None
    published_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    unmet: int
    progress: dict[str, Any] | None
    submitted_by: str
    parent_id: int | None
    idempotency_key: str | None


@dataclass(frozen=True)
class Filter:
    """Which jobs. Everything given must hold; `tags` are all wanted; `since` counts seconds back."""

    ids: Sequence[int] | None = None
    states: Sequence[str] = ()
    workflow: str | None = None
    tags: Sequence[str] = ()
    queue: str | None = None
    since: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        found: list[ColumnElement[bool]] = []
        if self.ids is not None:
            found.append(among(Job.id, self.ids))
        if self.states:
            found.append(Job.state.in_(list(self.states)))
        if self.workflow:
            found.append(Job.workflow == self.workflow)
        if self.tags:
            found.append(Job.tags.contains(list(self.tags)))
        if self.queue:
            found.append(Job.queue == self.queue)
        if self.since is not None:
            found.append(Job.submitted_at >= func.now() - seconds(self.since))
        return found


_PLAIN = [name for name in JobRow.__dataclass_fields__ if name not in ("error", "worker")]


def _select_jobs() -> Select[Any]:
    columns = [getattr(Job, name) for name in _PLAIN]
    # A worker that is long gone may have been pruned; its attempts still bear its name.
    noted = select(Attempt.nodename).where(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt)
    pruned = Job.worker_id.is_not(None) & Worker.id.is_(None)
    worker = case((pruned, noted.scalar_subquery()), else_=Worker.nodename).label("worker")
    return select(*columns, Job.error_message, worker).outerjoin(Worker, Worker.id == Job.worker_id)


def _job(row: Any) -> JobRow:
    values = {name: getattr(row, name) for name in _PLAIN}
    values["state"] = State(row.state)
    error = f"{row.error_type}: {row.error_message or ''}".rstrip(": ") if row.error_type else None
    return JobRow(**values, error=error, worker=row.worker)


def job(connection: Connection, job_id: int) -> JobRow | None:
    """One job, or None."""
    row = connection.execute(_select_jobs().where(Job.id == job_id)).one_or_none()
    return _job(row) if row else None


def job_by_task_id(connection: Connection, task_id: uuid.UUID) -> JobRow | None:
    """The job with this Celery task id, or None."""
    row = connection.execute(_select_jobs().where(Job.task_id == task_id)).one_or_none()
    return _job(row) if row else None


def jobs(
    connection: Connection, which: Filter, *, limit: int | None = None, newest: bool = True
) -> list[JobRow]:
    """The jobs that pass the filter, newest first unless told otherwise."""
    statement = _select_jobs().where(*which.conditions())
    statement = statement.order_by(Job.id.desc() if newest else Job.id).limit(limit)
    return [_job(row) for row in connection.execute(statement)]


def ids(connection: Connection, which: Filter) -> list[int]:
    """The ids of the jobs that pass the filter, ascending."""
    return list(connection.scalars(select(Job.id).where(*which.conditions()).order_by(Job.id)))


def last_id(connection: Connection) -> int | None:
    """The id of the job that was recorded last."""
    return connection.scalar(select(func.max(Job.id)))


def counts(connection: Connection, which: Filter) -> dict[State, int]:
    """How many jobs are in each state; states with none are left out."""
    rows = connection.execute(select(Job.state, func.count()).where(*which.conditions()).group_by(Job.state))
    return {State(state): number for state, number in rows}


def counts_by_workflow(connection: Connection, which: Filter) -> dict[str, dict[State, int]]:
    """The same for each workflow."""
    rows = connection.execute(
        select(Job.workflow, Job.state, func.count())
        .where(*which.conditions())
        .group_by(Job.workflow, Job.state)
        .order_by(Job.workflow)
    )
    found: dict[str, dict[State, int]] = {}
    for workflow, state, number in rows:
        found.setdefault(workflow, {})[State(state)] = number
    return found


def states(connection: Connection, job_ids: Iterable[int]) -> dict[int, State]:
    """The state of each job; those that are not on the board are left out."""
    rows = connection.execute(select(Job.id, Job.state).where(among(Job.id, job_ids)))
    return {row.id: State(row.state) for row in rows}


def finished_among(connection: Connection, job_ids: Iterable[int]) -> dict[int, State]:
    """Those of the jobs that are in a terminal state."""
    rows = connection.execute(
        select(Job.id, Job.state).where(among(Job.id, job_ids), Job.state.in_(TERMINAL))
    )
    return {row.id: State(row.state) for row in rows}


def results(connection: Connection, job_ids: Iterable[int]) -> dict[int, tuple[str, Any]]:
    """Workflow and encoded result of those of the jobs that succeeded."""
    rows = connection.execute(
        select(Job.id, Job.workflow, Job.result).where(among(Job.id, job_ids), Job.state == State.SUCCEEDED)
    )
    return {row.id: (row.workflow, row.result) for row in rows}


def attempts(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    """The ended attempts of a job, oldest first."""
    columns = [column for column in Attempt.__table__.columns if column.name != "job_id"]
    rows = connection.execute(select(*columns).where(Attempt.job_id == job_id).order_by(Attempt.attempt))
    return [dict(row._mapping) for row in rows]


def log(connection: Connection, job_id: int) -> str:
    """The text that a job wrote, all attempts in order."""
    rows = connection.scalars(
        select(LogChunk.text).where(LogChunk.job_id == job_id).order_by(LogChunk.attempt, LogChunk.seq)
    )
    return "".join(rows)


def workers(connection: Connection, *, live_only: bool = False) -> list[dict[str, Any]]:
    """Workers, the newest first, each with ``live`` and the number of jobs it runs."""
    live = Worker.ended_at.is_(None) & (Worker.lease_expires_at > func.now())
    running = (
        select(func.count())
        .where(Job.worker_id == Worker.id, Job.state == State.RUNNING)
        .correlate(Worker)
        .scalar_subquery()
    )
    statement = select(Worker.__table__, live.label("live"), running.label("running")).order_by(
        Worker.id.desc()
    )
    if live_only:
        statement = statement.where(live)
    return [dict(row._mapping) for row in connection.execute(statement)]


def unserved_queues(connection: Connection, job_ids: Iterable[int] | None = None) -> dict[str, int]:
    """Queues with pending jobs (of these, if ids are given) and no live worker: queue → number of jobs."""
    served = set()
    for worker in workers(connection, live_only=True):
        served.update(worker["queues"])
    pending = select(Job.queue, func.count()).where(Job.state == State.PENDING).group_by(Job.queue)
    if job_ids is not None:
        pending = pending.where(among(Job.id, job_ids))
    return {queue: number for queue, number in connection.execute(pending) if queue not in served}


def started(connection: Connection) -> tuple[dt.datetime, dt.datetime]:
    """When Postgres started, and its now."""
    row = connection.execute(select(func.pg_postmaster_start_time(), func.now())).one()
    return row[0], row[1]


def server(connection: Connection) -> dict[str, Any]:
    """What doctor wants to know of Postgres: version, and its clock in UTC."""
    row = connection.execute(
        select(
            func.current_setting("server_version").label("version"),
            func.clock_timestamp().label("now"),
            func.current_setting("max_connections").label("max_connections"),
        )
    ).one()
    return dict(row._mapping)


def anything_left(connection: Connection, queues: Sequence[str]) -> bool:
    """Whether these queues have work: pending, running anywhere, or between two attempts.

    What is blocked follows from these; what is scheduled for the first time is not waited for.
    """
    between = and_(Job.state == State.SCHEDULED, Job.attempt > 0)
    return bool(
        connection.scalar(
            select(
                or_(
                    *(
                        exists().where(condition, Job.queue.in_(queues))
                        for condition in (Job.state == State.PENDING, Job.state == State.RUNNING, between)
                    )
                )
            )
        )
    )


def nodenames(connection: Connection, job_ids: Iterable[int]) -> list[str]:
    """The workers that run these jobs."""
    running = select(Job.worker_id).where(among(Job.id, job_ids), Job.state == State.RUNNING)
    return list(connection.scalars(select(Worker.nodename).where(Worker.id.in_(running)).distinct()))
