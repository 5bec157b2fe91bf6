"""What a job depends on, and what depends on it."""

from __future__ import annotations

from simcelery.board.sql import Reader
from simcelery.board.states import Kind


def parents_of(connection: Reader, job_id: int, kind: Kind | None = None) -> list[int]:
    """The ids of the jobs that this one depends on; of a `kind`: only those."""
    of_kind = "" if kind is None else "AND kind = %(kind)s"
    rows = connection.exec_driver_sql(
        f"SELECT parent_id FROM dependencies WHERE job_id = %(id)s {of_kind} ORDER BY parent_id",
        {"id": job_id, "kind": None if kind is None else str(kind)},
    )
    return [row.parent_id for row in rows]


def dependents_of(connection: Reader, job_id: int) -> list[int]:
    """The ids of the jobs that depend on this one."""
    rows = connection.exec_driver_sql(
        "SELECT job_id FROM dependencies WHERE parent_id = %(id)s ORDER BY job_id", {"id": job_id}
    )
    return [row.job_id for row in rows]
