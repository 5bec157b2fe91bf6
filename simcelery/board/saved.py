"""What attempts save to go on from: the outputs of steps, and a checkpoint. It is fenced by claim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, or_, select

from simcelery.board import engine, sql
from simcelery.board.models import Checkpoint, Job, Step
from simcelery.board.sql_helpers import among
from simcelery.board.values import Claim, SavedState, SavedStep, from_row


def save_step(claim: Claim, step: SavedStep, output: Any) -> bool:
    """Store a step's output durably; False: another attempt has the job now, and nothing was stored."""
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id, "name": step.name, "key": step.key}
    given |= {"code": step.code, "given": engine.as_json(step.given), "output": engine.as_json(output)}
    return bool(engine.one_round_trip(sql.statement("save_step"), given | {"seconds": step.seconds}))


def save_checkpoint(claim: Claim, state: Any) -> bool:
    """Store a checkpoint durably, in place of the one before; False: as `save_step`."""
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id, "state": engine.as_json(state)}
    return bool(engine.one_round_trip(sql.statement("save_checkpoint"), given))


def steps_of(job_id: int) -> list[SavedStep]:
    """The steps that a job has saved, in the order of their attempts and times."""
    rows = engine.one_round_trip(sql.statement("saved_steps"), {"job_id": job_id})
    return [from_row(SavedStep, row) for row in rows]


def output_of(job_id: int, step: SavedStep) -> list[Any]:
    """The output of a saved step, encoded, as the only item; none: it has been forgotten meanwhile."""
    given = {"job_id": job_id, "name": step.name, "key": step.key}
    return [row["output"] for row in engine.one_round_trip(sql.statement("output_of_step"), given)]


def checkpoint_of(job_id: int) -> SavedState | None:
    """What a job saved last to go on from."""
    rows = engine.one_round_trip(sql.statement("last_checkpoint"), {"job_id": job_id})
    return from_row(SavedState, rows[0]) if rows else None


def forget(connection: Connection, ids: Collection[int]) -> None:
    """Delete what jobs have saved. While their claims stay, a lost attempt may still save more."""
    for table in (Step, Checkpoint):
        connection.execute(delete(table).where(among(table.job_id, ids)))


def with_any(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of these jobs that have saved something."""
    saved = or_(*(exists().where(table.job_id == Job.id) for table in (Step, Checkpoint)))
    return list(connection.scalars(select(Job.id).where(among(Job.id, ids), saved).order_by(Job.id)))
