"""What is known about the workers and the servers, and which jobs no worker can start."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simcelery.board import sql
from simcelery.board.reads import encryption
from simcelery.board.reads.rules import LIVE
from simcelery.board.sql import Reader
from simcelery.board.unreadable import bad_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection


def workers(
    connection: Reader, *, live_only: bool = False, gone_within: float | None = None
) -> list[dict[str, Any]]:
    """Workers, newest first: all columns, ``state``, the ids of the ``running`` jobs, and ``now``.

    ``state`` is live, quarantined (alive, but takes no jobs), overdue (its lease has expired, but it has
    not ended) or ended.

    Parameters:
        gone_within: of the workers that ended, or whose lease expired, only those of the last so many
            seconds, and those that still hold jobs.
    """
    conditions = [LIVE] if live_only else []
    if gone_within is not None:
        conditions.append(_GONE)
    return _workers(connection, " AND ".join(conditions) or "true", within=gone_within)


_GONE = """(
  coalesce(workers.ended_at, workers.lease_expires_at) > now() - make_interval(secs => %(within)s)
  OR EXISTS (SELECT FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running')
)"""


def _workers(connection: Reader, condition: str, **values: Any) -> list[dict[str, Any]]:
    statement = f"{sql.statement('workers')} WHERE {condition} ORDER BY workers.id DESC"
    return [_worker(row) for row in connection.exec_driver_sql(statement, values)]


def _worker(row: Any) -> dict[str, Any]:
    lists = {name: bad_rows.words(getattr(row, name)) for name in ("queues", "workflows")}
    return {**row._asdict(), **lists, "succeeded": bad_rows.named_values(row.succeeded)}


def lost(connection: Reader) -> list[dict[str, Any]]:
    """The workers that ended, or whose lease expired, and that still hold running jobs; see `workers`."""
    found = workers(connection, gone_within=0.0)
    return [one for one in found if one["running"] and one["state"] in ("overdue", "ended")]


def worker_of(connection: Reader, job_id: int) -> dict[str, Any] | None:
    """The worker that last claimed a job, as `workers` returns it; None: there is none, or no more."""
    last = "workers.id = (SELECT worker_id FROM jobs WHERE id = %(job_id)s)"
    return next(iter(_workers(connection, last, job_id=job_id)), None)


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


def unserved(connection: Reader, job_ids: Iterable[int] | None = None) -> list[Unserved]:
    """The pending jobs (of these, if ids are given) that no live worker can start, by queue and workflow."""
    live = workers(connection, live_only=True)
    ids = None if job_ids is None else list(job_ids)
    among = "" if ids is None else "AND id = ANY(%(ids)s::bigint[])"
    pending = connection.exec_driver_sql(
        f"SELECT queue, workflow, count(*) AS number FROM jobs WHERE state = 'pending' {among} "
        "GROUP BY queue, workflow ORDER BY queue, workflow",
        {"ids": ids},
    )
    found = []
    for row in pending:
        if why := why_unserved(live, row.queue, row.workflow):
            found.append(Unserved(why, row.queue, row.workflow, row.number))
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


def due_acts(connection: Reader) -> list[dict[str, Any]]:
    """The acts of recovery: ``name``, ``last_by``, and for how many seconds the turn has been ``due``."""
    rows = connection.exec_driver_sql(
        "SELECT name, last_by, seconds_between(next_at, now()) AS due FROM recovery ORDER BY name"
    )
    return [row._asdict() for row in rows]


def started(connection: Reader) -> tuple[dt.datetime, dt.datetime]:
    """When Postgres was started, and its current time."""
    [row] = connection.exec_driver_sql("SELECT pg_postmaster_start_time(), now()")
    return row[0], row[1]


def server(connection: Connection) -> dict[str, Any]:
    """What ``doctor`` wants to know about Postgres: version, clock in UTC, encryption, replication."""
    [row] = connection.exec_driver_sql(
        "SELECT current_setting('server_version') AS version, clock_timestamp() AS now, "
        "current_setting('max_connections') AS max_connections, "
        "current_setting('synchronous_standby_names') <> '' "
        "AND current_setting('synchronous_commit') NOT IN ('off', 'local') AS synchronous"
    )
    return {**row._asdict(), "gap": encryption.gap(connection)}


def anything_left(
    connection: Reader, queues: Sequence[str], workflows: Sequence[str], worker_id: int
) -> bool:
    """Whether these queues have jobs of these workflows: pending, running anywhere, or between two attempts.

    Blocked jobs follow from these; jobs scheduled for their first attempt are not waited for, nor those that
    need more than this worker has.
    """
    fits = f"(needs_id IS NULL OR needs_id IN ({_FITTING}))"
    return _any(
        connection,
        queues,
        workflows,
        f"state = 'pending' AND {fits}",
        "state = 'running'",
        f"state = 'scheduled' AND attempt > 0 AND {fits}",
        worker_id=worker_id,
    )


def only_misfits(connection: Reader, queues: Sequence[str], workflows: Sequence[str], worker_id: int) -> bool:
    """Whether these queues have pending jobs of these workflows, and none ends before this worker must.

    Of each queue and workflow the first ones are looked at. Those that need more than this worker has do not
    count.
    """
    statement = sql.statement("only_misfits").replace("/* fitting */", _FITTING)
    given = {"queues": list(queues), "workflows": list(workflows), "worker_id": worker_id}
    return bool(connection.exec_driver_sql(statement, given).scalar())


# What jobs may need of a worker while nothing else runs there; what fits now says `fitting_needs`.
_FITTING = (
    "SELECT needs.id FROM needs, workers WHERE workers.id = %(worker_id)s "
    "AND coalesce(needs.cores, 0) <= workers.cores AND coalesce(needs.memory, 0) <= workers.memory "
    "AND coalesce(needs.gpus, 0) <= cardinality(workers.gpus)"
)


def anything_pending(connection: Reader, queues: Sequence[str], workflows: Sequence[str]) -> bool:
    """Whether pending jobs of these workflows wait in these queues."""
    return _any(connection, queues, workflows, "state = 'pending'")


def _any(
    connection: Reader, queues: Sequence[str], workflows: Sequence[str], *states: str, **more: int
) -> bool:
    wanted = "queue = ANY(%(queues)s::text[]) AND workflow = ANY(%(workflows)s::text[])"
    some = " OR ".join(f"EXISTS (SELECT FROM jobs WHERE {state} AND {wanted})" for state in states)
    given = {"queues": list(queues), "workflows": list(workflows), **more}
    return bool(connection.exec_driver_sql(f"SELECT {some}", given).scalar())


def nodenames(connection: Reader, job_ids: Iterable[int]) -> list[str]:
    """The workers that run these jobs."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT nodename FROM workers WHERE id IN (SELECT worker_id FROM jobs "
        "WHERE id = ANY(%(ids)s::bigint[]) AND state = 'running')",
        {"ids": list(job_ids)},
    )
    return [row.nodename for row in rows]


def failed_elsewhere(connection: Reader, task_ids: Iterable[uuid.UUID], worker_id: int) -> bool:
    """Whether an attempt of one of these jobs has failed on a worker other than this one."""
    failed = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM attempts WHERE outcome = 'failed' AND worker_id <> %(worker_id)s "
        "AND job_id IN (SELECT id FROM jobs WHERE task_id = ANY(%(task_ids)s::uuid[])))",
        {"worker_id": worker_id, "task_ids": list(task_ids)},
    )
    return bool(failed.scalar())
