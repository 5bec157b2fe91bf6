"""What a message about a pending job needs to know: little, however large the job."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

from simcelery.board.models import Job

COLUMNS = (Job.id, Job.task_id, Job.workflow, Job.queue, Job.priority)


class Lane(NamedTuple):
    """Where a pending job waits for its turn: behind those of the same queue, workflow and priority."""

    queue: str
    workflow: str
    priority: int


@dataclass(frozen=True)
class Sendable:
    """A pending job, with what its message needs."""

    id: int
    task_id: uuid.UUID
    workflow: str
    queue: str
    priority: int

    @property
    def lane(self) -> Lane:
        """Where its message goes."""
        return Lane(self.queue, self.workflow, self.priority)


def sendable(row: Any) -> Sendable:
    """From a row with `COLUMNS`, and perhaps others."""
    return Sendable(*(getattr(row, column.key) for column in COLUMNS))
