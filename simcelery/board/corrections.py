"""What handlers have corrected in the input of a job's program. It is fenced by claim."""

from __future__ import annotations

from simcelery.board import engine, sql
from simcelery.board.values import Claim


def save(claim: Claim, handler: str, error: str, changes: str, difference: str, budget: int) -> bool:
    """Record a correction durably; False: another attempt has the job now, or the budget is spent."""
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id, "handler": handler, "error": error}
    given |= {"changes": changes, "difference": difference, "budget": budget}
    return bool(engine.one_round_trip(sql.statement("save_correction"), given))


def count(job_id: int) -> int:
    """How many a job has had, in all its attempts."""
    [row] = engine.one_round_trip(sql.statement("count_corrections"), {"job_id": job_id})
    return int(row["number"])
