"""What a job depends on, and what depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from simcelery.board.sql import Reader
from simcelery.board.states import Kind


@dataclass(frozen=True)
class Parents:
    """The ids of the jobs that one depends on.

    Attributes:
        ids: all of them, ascending.
        any_end: those of them that need not succeed.
        goes_on_in: the one in which it goes on.
    """

    ids: list[int]
    any_end: list[int]
    goes_on_in: int | None


def parents_of(connection: Reader, job_id: int) -> Parents:
    """The jobs that this one depends on, and how."""
    rows = connection.exec_driver_sql(
        "SELECT parent_id, kind FROM dependencies WHERE job_id = %(id)s ORDER BY parent_id", {"id": job_id}
    )
    kinds = {row.parent_id: row.kind for row in rows}
    any_end = [number for number, kind in kinds.items() if kind == Kind.ANY]
    return Parents(list(kinds), any_end, next((n for n, kind in kinds.items() if kind == Kind.THEN), None))


def dependents_of(connection: Reader, job_id: int) -> list[int]:
    """The ids of the jobs that depend on this one."""
    rows = connection.exec_driver_sql(
        "SELECT job_id FROM dependencies WHERE parent_id = %(id)s ORDER BY job_id", {"id": job_id}
    )
    return [row.job_id for row in rows]
