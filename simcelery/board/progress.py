"""What a running job reports: progress and log."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, update

from simcelery.board.models import Job
from simcelery.board.states import State


def save_progress(connection: Connection, job_id: int, claim_id: uuid.UUID, progress: dict[str, Any]) -> bool:
    """Store what the job reports, as long as its claim is the newest."""
    saved = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.claim_id == claim_id, Job.state == State.RUNNING)
        .values(progress=progress)
    )
    return saved.rowcount == 1
