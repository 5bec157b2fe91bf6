"""What people have done to jobs by hand."""

from __future__ import annotations

from typing import Any

from simcelery.board.sql import Reader


def interventions(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """What people have done to a job, oldest first: at, kind, by."""
    rows = connection.exec_driver_sql(
        "SELECT at, kind, by FROM interventions WHERE job_id = %(job_id)s ORDER BY at, kind",
        {"job_id": job_id},
    )
    return [row._asdict() for row in rows]
