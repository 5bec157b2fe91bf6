"""What jobs have saved to go on from, what went on from it, and what was corrected, for people."""

from __future__ import annotations

from typing import Any

from simcelery.board import sql
from simcelery.board.sql import Reader
from simcelery.board.unreadable import bad_rows


def corrections(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """What handlers have corrected, oldest first."""
    rows = connection.exec_driver_sql(
        "SELECT number, attempt, handler, error, changes, difference, made_at FROM corrections "
        "WHERE job_id = %(job_id)s ORDER BY number",
        {"job_id": job_id},
    )
    return [row._asdict() for row in rows]


def restarts(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """Which attempts went on from the files of which earlier one: attempt, continues, files in words."""
    rows = connection.exec_driver_sql(
        "SELECT attempt, continues, files FROM restarts "
        "WHERE job_id = %(job_id)s ORDER BY attempt, continues",
        {"job_id": job_id},
    )
    return [row._asdict() for row in rows]


def steps(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """The steps that a job has saved, oldest first, with their outputs, encoded."""
    rows = connection.exec_driver_sql(
        "SELECT name, given, output, attempt, seconds, saved_at FROM steps "
        "WHERE job_id = %(job_id)s ORDER BY saved_at, name, key",
        {"job_id": job_id},
    )
    return [{**row._asdict(), "given": bad_rows.named_values(row.given)} for row in rows]


def checkpoint(connection: Reader, job_id: int) -> dict[str, Any] | None:
    """What a job saved last, encoded, with the attempt that did."""
    rows = sql.execute(connection, "last_checkpoint", job_id=job_id)
    return next((row._asdict() for row in rows), None)
