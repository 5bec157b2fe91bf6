"""The columns that the message about a pending job needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcelery.board.models import Job
from simcelery.board.values import JobToPublish

TO_PUBLISH = (Job.id, Job.task_id, Job.workflow, Job.queue, Job.priority)


def job_to_publish(row: Mapping[Any, Any]) -> JobToPublish:
    """From a row with these columns, and perhaps others."""
    return JobToPublish(*(row[column.key] for column in TO_PUBLISH))
