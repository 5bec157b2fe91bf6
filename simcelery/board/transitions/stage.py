"""scheduled → pending when the time has come."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from simcelery.board.models import Job
from simcelery.board.sql_helpers import locked
from simcelery.board.states import State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.values import JobToPublish


def stage(connection: Connection, limit: int) -> list[JobToPublish]:
    """scheduled → pending for the jobs whose time has come."""
    return [job_to_publish(row._mapping) for row in connection.execute(_staging(limit))]


@lru_cache(maxsize=16)  # every worker asks it again and again
def _staging(limit: int) -> ReturningUpdate[*tuple[Any, ...]]:
    due = select(Job.id).where(Job.state == State.SCHEDULED, Job.run_at <= func.now()).limit(limit)
    return (
        update(Job)
        .where(Job.id.in_(locked(due, skip=True)), Job.state == State.SCHEDULED)
        .values(state=State.PENDING)
        .returning(*TO_PUBLISH)
    )
