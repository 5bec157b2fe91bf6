"""The earlier attempts of a job that a new one may go on from."""

from __future__ import annotations

import uuid

from simcelery.board import engine, sql
from simcelery.board.values import Claim


def folders(job_id: int, attempt: int) -> list[tuple[int, uuid.UUID, str | None]]:
    """Of the attempts before this one, newest first: number, claim id, and folder, if that is known."""
    rows = engine.one_round_trip(sql.statement("last_folder"), {"job_id": job_id, "attempt": attempt})
    return [(row["attempt"], row["claim_id"], row["workdir"]) for row in rows]


def continues(claim: Claim, attempt: int, files: str) -> bool:
    """Record durably that it goes on from an earlier attempt; False: another one has the job now.

    Parameters:
        files: which files it takes, in words.
    """
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id, "continues": attempt, "files": files}
    return bool(engine.one_round_trip(sql.statement("save_restart"), given))
