"""What jobs need of their node, and what running ones have been given, for people."""

from __future__ import annotations

from simcelery.board.sql import Reader
from simcelery.needs import NAMES, Needs


def needs(connection: Reader, job_id: int) -> Needs | None:
    """What a job needs; None: nothing in particular."""
    columns = ", ".join(f"needs.{name}" for name in NAMES)
    rows = connection.exec_driver_sql(
        f"SELECT {columns} FROM needs JOIN jobs ON jobs.needs_id = needs.id WHERE jobs.id = %(id)s",
        {"id": job_id},
    )
    return next((Needs(*row) for row in rows), None)


def granted(connection: Reader) -> dict[int, Needs]:
    """What the jobs that run now have been given together, by the id of their worker."""
    rows = connection.exec_driver_sql(
        "SELECT grants.worker_id, coalesce(sum(cores), 0)::bigint AS cores, "
        "coalesce(sum(memory), 0)::bigint AS memory, coalesce(sum(cardinality(gpus)), 0)::bigint AS gpus "
        "FROM grants JOIN jobs ON jobs.id = job_id AND jobs.claim_id = grants.claim_id AND state = 'running' "
        "GROUP BY grants.worker_id"
    )
    return {row.worker_id: Needs(row.cores, row.memory, row.gpus) for row in rows}
