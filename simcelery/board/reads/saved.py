"""What jobs have saved to go on from, and what was corrected in their input, for people."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from simcelery.board import sql
from simcelery.board.models import Correction, Step
from simcelery.board.unreadable import bad_rows

_STEP = (Step.name, Step.given, Step.output, Step.attempt, Step.seconds, Step.saved_at)
_CORRECTION = (
    *(Correction.number, Correction.attempt, Correction.handler, Correction.error),
    *(Correction.changes, Correction.difference, Correction.made_at),
)


def corrections(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    """What handlers have corrected, oldest first."""
    rows = connection.execute(
        select(*_CORRECTION).where(Correction.job_id == job_id).order_by(Correction.number)
    )
    return [dict(row) for row in rows.mappings()]


def steps(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    """The steps that a job has saved, oldest first, with their outputs, encoded."""
    rows = connection.execute(
        select(*_STEP).where(Step.job_id == job_id).order_by(Step.saved_at, Step.name, Step.key)
    )
    return [{**row, "given": bad_rows.named_values(row["given"])} for row in rows.mappings()]


def checkpoint(connection: Connection, job_id: int) -> dict[str, Any] | None:
    """What a job saved last, encoded, with the attempt that did."""
    row = sql.execute(connection, "last_checkpoint", job_id=job_id).mappings().one_or_none()
    return None if row is None else dict(row)
