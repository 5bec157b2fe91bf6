"""What jobs need of their node, and what running ones have been given, for people."""

from __future__ import annotations

from typing import Any, NamedTuple

from simcelery.board import sql
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.rules import LIVE
from simcelery.board.sql import Reader
from simcelery.board.unreadable import bad_rows
from simcelery.needs import Needs


def needs(connection: Reader, job_id: int) -> Needs | None:
    """What a job needs; None: nothing in particular."""
    rows = connection.exec_driver_sql(
        "SELECT needs.cores, memory, gpus, escalation::text "
        "FROM needs JOIN jobs ON jobs.needs_id = needs.id WHERE jobs.id = %(id)s",
        {"id": job_id},
    )
    return next((Needs(*row) for row in rows), None)


def escalations(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """What a job has got for later attempts, oldest first: at which attempt, why, and what it had before."""
    rows = connection.exec_driver_sql(
        "SELECT attempt, cause, before, after, made_at FROM escalations "
        "WHERE job_id = %(id)s ORDER BY attempt",
        {"id": job_id},
    )
    return [
        {**row._asdict(), **{name: bad_rows.named_values(getattr(row, name)) for name in ("before", "after")}}
        for row in rows
    ]


class Large(NamedTuple):
    """Pending jobs of one lane that need the same, and more than some live worker has.

    Attributes:
        first: the id of the first of them.
    """

    queue: str
    workflow: str
    needs: Needs
    number: int
    first: int


def large(connection: Reader, which: Filter) -> list[Large]:
    """Those of the jobs that pass the filter which may not fit on any worker, the oldest first."""
    wanted = which.clause()
    statement = sql.statement("too_large").replace("/* live */", LIVE).replace("/* wanted */", wanted.text)
    rows = connection.exec_driver_sql(statement, wanted.values)
    return [
        Large(row.queue, row.workflow, Needs(row.cores, row.memory, row.gpus), row.number, row.first)
        for row in rows
    ]


class Kept(NamedTuple):
    """A pending job for which workers keep room, since others have overtaken it for too long."""

    job_id: int
    queue: str
    workflow: str
    priority: int
    needs: Needs


def kept(connection: Reader) -> list[Kept]:
    """The jobs for which room is kept, the one that has waited longest first; see ``kept_for.sql``."""
    rows = connection.exec_driver_sql(
        "SELECT jobs.id, queue, workflow, priority, cores, memory, gpus "
        "FROM (SELECT * FROM passed_over WHERE since < now() - interval '10 minutes' "
        "ORDER BY since LIMIT 100) AS oldest "
        "JOIN jobs ON jobs.id = job_id JOIN needs ON needs.id = needs_id "
        "WHERE state || '' = 'pending' AND cancel_requested_at IS NULL ORDER BY since, jobs.id"
    )
    return [
        Kept(row.id, row.queue, row.workflow, row.priority, Needs(row.cores, row.memory, row.gpus))
        for row in rows
    ]


def granted(connection: Reader) -> dict[int, Needs]:
    """What the jobs that run now have been given together, by the id of their worker."""
    rows = connection.exec_driver_sql(
        "SELECT grants.worker_id, coalesce(sum(cores), 0)::bigint AS cores, "
        "coalesce(sum(memory), 0)::bigint AS memory, coalesce(sum(cardinality(gpus)), 0)::bigint AS gpus "
        "FROM grants JOIN jobs ON jobs.id = job_id AND jobs.claim_id = grants.claim_id AND state = 'running' "
        "GROUP BY grants.worker_id"
    )
    return {row.worker_id: Needs(row.cores, row.memory, row.gpus) for row in rows}
