"""The earlier attempts of a job that a new one may go on from."""

from __future__ import annotations

import uuid

from simcelery.board import engine, sql


def folders(job_id: int, attempt: int) -> list[tuple[int, uuid.UUID, str | None]]:
    """Of the attempts before this one, newest first: number, claim id, and folder, if that is known."""
    rows = engine.one_round_trip(sql.statement("last_folder"), {"job_id": job_id, "attempt": attempt})
    return [(row["attempt"], row["claim_id"], row["workdir"]) for row in rows]
