"""Whether jobs are still on the board under the ids that their handles have."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from simcelery.board import reads
from simcelery.errors import JobNotFoundError


class Handle(Protocol):
    """What is known of a job without asking: its id, and the one that is never given out again."""

    id: int
    task_id: uuid.UUID


def check_there(connection: Any, handles: Sequence[Handle]) -> None:
    """Whether the jobs are on the board under their ids: a number may have been given out again.

    Raises:
        JobNotFoundError: one is not.
    """
    if handles:
        check_numbers(handles, reads.ids_by_task_id(connection, [job.task_id for job in handles]))


def check_numbers(handles: Sequence[Handle], there: Mapping[uuid.UUID, int]) -> None:
    """`check_there`, for ids that have been read already.

    Raises:
        JobNotFoundError: one is not.
    """
    for job in handles:
        if there.get(job.task_id) != job.id:
            raise gone(job.id)


def gone(number: int) -> JobNotFoundError:
    """The error that says that a job was there and is not any more."""
    return JobNotFoundError(f"job {number} is no longer on the board")
