"""What a message about a pending job needs to know."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from simcelery.board.models import Job

COLUMNS = (
    Job.id,
    Job.task_id,
    Job.workflow,
    Job.queue,
    Job.priority,
    Job.parameters,
    Job.time_limit,
    Job.soft_time_limit,
)


@dataclass(frozen=True)
class Sendable:
    """A pending job, with what its message needs."""

    id: int
    task_id: uuid.UUID
    workflow: str
    queue: str
    priority: int
    parameters: dict[str, Any]
    time_limit: float | None
    soft_time_limit: float | None


def sendable(row: Any) -> Sendable:
    """From a row with `COLUMNS`, and perhaps others."""
    return Sendable(*(getattr(row, column.key) for column in COLUMNS))
