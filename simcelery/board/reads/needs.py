"""What a job needs of its node, for people."""

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
