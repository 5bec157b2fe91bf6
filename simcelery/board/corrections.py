"""What handlers have corrected in the input of a job's program. It is fenced by claim."""

from __future__ import annotations

from simcelery.board import engine, sql
from simcelery.board.values import Claim


def save(claim: Claim, handler: str, error: str, changes: str, difference: str, budget: int) -> int | None:
    """Record a correction durably.

    Returns:
        Its number in the job; None: another attempt has the job now, or the budget is spent.
    """
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id, "handler": handler, "error": error}
    given |= {"changes": changes, "difference": difference, "budget": budget}
    rows = engine.one_round_trip(sql.statement("save_correction"), given)
    return int(rows[0]["number"]) if rows else None


def complete(job_id: int, number: int, error: str, difference: str) -> None:
    """Say what it has changed."""
    given = {"job_id": job_id, "number": number, "error": error, "difference": difference}
    engine.one_round_trip(sql.statement("complete_correction"), given)


def withdraw(job_id: int, number: int) -> None:
    """It was none after all."""
    engine.one_round_trip(sql.statement("withdraw_correction"), {"job_id": job_id, "number": number})


def spent(job_id: int, attempt: int) -> dict[str, tuple[int, int]]:
    """Of each handler, by its name, the number of its corrections.

    Returns:
        All that count for the budget; and of these, those that an attempt's input has, from itself and from
        the attempts that it continues.
    """
    rows = engine.one_round_trip(sql.statement("spent_corrections"), {"job_id": job_id, "attempt": attempt})
    return {row["handler"]: (int(row["spent"]), int(row["kept"])) for row in rows}
