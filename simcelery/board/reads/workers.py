"""What is known about the workers and the servers, and which jobs no worker can start."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    and_,
    case,
    exists,
    extract,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board.leases import is_live
from simcelery.board.models import Attempt, Job, Recovery, Worker
from simcelery.board.reads import encryption
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.states import Outcome, State
from simcelery.board.unreadable import bad_rows


def _select_workers() -> Select[Any]:
    ended = Worker.ended_at.is_not(None)
    overdue = Worker.lease_expires_at <= func.now()
    state = case(
        (ended, "ended"),
        (overdue, "overdue"),
        (Worker.quarantined_at.is_not(None), "quarantined"),
        else_="live",
    )
    running = select(Job.id).where(Job.worker_id == Worker.id, Job.state == State.RUNNING).order_by(Job.id)
    return select(
        Worker.__table__,
        state.label("state"),
        func.array(running.correlate(Worker).scalar_subquery(), type_=ARRAY(BigInteger)).label("running"),
        func.now().label("now"),
    )


def workers(
    connection: Connection, *, live_only: bool = False, gone_within: float | None = None
) -> list[dict[str, Any]]:
    """Workers, newest first: all columns, ``state``, the ids of the ``running`` jobs, and ``now``.

    ``state`` is live, quarantined (alive, but takes no jobs), overdue (its lease has expired, but it has
    not ended) or ended.

    Parameters:
        gone_within: of the workers that ended, or whose lease expired, only those of the last so many
            seconds, and those that still hold jobs.
    """
    statement = _select_workers().order_by(Worker.id.desc())
    if live_only:
        statement = statement.where(is_live())
    if gone_within is not None:
        gone_at = func.coalesce(Worker.ended_at, Worker.lease_expires_at)
        holds = exists().where(Job.worker_id == Worker.id, Job.state == State.RUNNING)
        statement = statement.where(or_(gone_at > func.now() - seconds(gone_within), holds))
    return [_worker(row) for row in connection.execute(statement)]


def _worker(row: Any) -> dict[str, Any]:
    lists = {name: bad_rows.words(row._mapping[name]) for name in ("queues", "workflows")}
    return {**row._mapping, **lists, "succeeded": bad_rows.named_values(row.succeeded)}


def lost(connection: Connection) -> list[dict[str, Any]]:
    """The workers that ended, or whose lease expired, and that still hold running jobs; see `workers`."""
    found = workers(connection, gone_within=0.0)
    return [one for one in found if one["running"] and one["state"] in ("overdue", "ended")]


def worker_of(connection: Connection, job_id: int) -> dict[str, Any] | None:
    """The worker that last claimed a job, as `workers` returns it; None: there is none, or no more."""
    last = select(Job.worker_id).where(Job.id == job_id).scalar_subquery()
    statement = _select_workers().where(Worker.id == last)
    row = connection.execute(statement).one_or_none()
    return _worker(row) if row else None


@dataclass(frozen=True)
class Unserved:
    """Pending jobs that no live worker can start.

    Attributes:
        why: ``queue``: none serves their queue; ``workflow``: none of those that do knows their workflow;
            ``quarantine``: all that know it are in quarantine.
    """

    why: Literal["queue", "workflow", "quarantine"]
    queue: str
    workflow: str
    count: int


def unserved(connection: Connection, job_ids: Iterable[int] | None = None) -> list[Unserved]:
    """The pending jobs (of these, if ids are given) that no live worker can start, by queue and workflow."""
    live = workers(connection, live_only=True)
    pending = (
        select(Job.queue, Job.workflow, func.count())
        .where(Job.state == State.PENDING)
        .group_by(Job.queue, Job.workflow)
        .order_by(Job.queue, Job.workflow)
    )
    if job_ids is not None:
        pending = pending.where(among(Job.id, job_ids))
    found = []
    for queue, workflow, number in connection.execute(pending):
        if why := why_unserved(live, queue, workflow):
            found.append(Unserved(why, queue, workflow, number))
    return found


def why_unserved(
    live: Iterable[dict[str, Any]], queue: str, workflow: str
) -> Literal["queue", "workflow", "quarantine"] | None:
    """Why no live worker can start the jobs of a workflow in a queue; None if one can.

    Parameters:
        live: from `workers`.
    """
    consumers = [worker for worker in live if queue in worker["queues"]]
    knowing = [worker for worker in consumers if workflow in worker["workflows"]]
    if not consumers:
        return "queue"
    if not knowing:
        return "workflow"
    return "quarantine" if all(worker["quarantined_at"] for worker in knowing) else None


def due_acts(connection: Connection) -> list[dict[str, Any]]:
    """The acts of recovery: ``name``, ``last_by``, and for how many seconds the turn has been ``due``."""
    due = extract("epoch", func.now() - Recovery.next_at).cast(Double).label("due")
    rows = connection.execute(select(Recovery.name, Recovery.last_by, due).order_by(Recovery.name))
    return [dict(row._mapping) for row in rows]


def started(connection: Connection) -> tuple[dt.datetime, dt.datetime]:
    """When Postgres was started, and its current time."""
    row = connection.execute(select(func.pg_postmaster_start_time(), func.now())).one()
    return row[0], row[1]


def server(connection: Connection) -> dict[str, Any]:
    """What ``doctor`` wants to know about Postgres: version, clock in UTC, encryption."""
    row = connection.execute(
        select(
            func.current_setting("server_version").label("version"),
            func.clock_timestamp().label("now"),
            func.current_setting("max_connections").label("max_connections"),
        )
    ).one()
    return {**row._mapping, "gap": encryption.gap(connection)}


def anything_left(connection: Connection, queues: Sequence[str], workflows: Sequence[str]) -> bool:
    """Whether these queues have jobs of these workflows: pending, running anywhere, or between two attempts.

    Blocked jobs follow from these; jobs scheduled for their first attempt are not waited for.
    """
    between = and_(Job.state == State.SCHEDULED, Job.attempt > 0)
    return _any(
        connection, queues, workflows, Job.state == State.PENDING, Job.state == State.RUNNING, between
    )


def anything_pending(connection: Connection, queues: Sequence[str], workflows: Sequence[str]) -> bool:
    """Whether pending jobs of these workflows wait in these queues."""
    return _any(connection, queues, workflows, Job.state == State.PENDING)


def _any(
    connection: Connection, queues: Sequence[str], workflows: Sequence[str], *states: ColumnElement[bool]
) -> bool:
    wanted = and_(Job.queue.in_(queues), Job.workflow.in_(workflows))
    return bool(connection.scalar(select(or_(*(exists().where(state, wanted) for state in states)))))


def nodenames(connection: Connection, job_ids: Iterable[int]) -> list[str]:
    """The workers that run these jobs."""
    running = select(Job.worker_id).where(among(Job.id, job_ids), Job.state == State.RUNNING)
    return list(connection.scalars(select(Worker.nodename).where(Worker.id.in_(running)).distinct()))


def failed_elsewhere(connection: Connection, task_ids: Iterable[uuid.UUID], worker_id: int) -> bool:
    """Whether an attempt of one of these jobs has failed on a worker other than this one."""
    jobs = select(Job.id).where(Job.task_id.in_(list(task_ids)))
    failed = exists().where(
        Attempt.job_id.in_(jobs), Attempt.worker_id != worker_id, Attempt.outcome == Outcome.FAILED
    )
    return bool(connection.scalar(select(failed)))
