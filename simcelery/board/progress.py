"""What a running job reports: progress and log."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from simcelery.board.models import Job, LogChunk
from simcelery.board.states import State


def save_progress(connection: Connection, job_id: int, claim_id: uuid.UUID, progress: dict[str, Any]) -> bool:
    """Store what the job reports, as long as its claim is the newest."""
    saved = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.claim_id == claim_id, Job.state == State.RUNNING)
        .values(progress=progress)
    )
    return saved.rowcount == 1


def append_log(connection: Connection, job_id: int, attempt: int, text: str) -> None:
    """Add a piece to an attempt's log. Only the process that runs the attempt writes it."""
    following = select(func.coalesce(func.max(LogChunk.seq), 0) + 1).where(
        LogChunk.job_id == job_id, LogChunk.attempt == attempt
    )
    connection.execute(
        insert(LogChunk).values(job_id=job_id, attempt=attempt, seq=following.scalar_subquery(), text=text)
    )
