"""Celery's revoke, from Flower's button or from code, becomes a cancel on the board."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from celery.app.control import Control

from simcelery.board import engine, reads
from simcelery.submission import actions, lineage


class BoardControl(Control):  # type: ignore[misc]
    """The app's remote control. Tasks that are not jobs are revoked as Celery does it."""

    def revoke(self, task_id: str | Iterable[str], *args: Any, **kwargs: Any) -> Any:
        """Cancel the jobs among the task ids on the board, and revoke the rest.

        A worker that is told to revoke an id remembers it for ever, and would ignore the job even after a
        retry by hand. So workers are not told about jobs: they learn of a cancel from the board.

        Raises:
            BoardUnreachableError: Postgres cannot be reached; nothing is cancelled or revoked.
        """
        given = [task_id] if isinstance(task_id, str) else list(task_id)
        others = sorted(set(given) - cancel(given))
        return super().revoke(others, *args, **kwargs) if others else None


def cancel(task_ids: Iterable[str]) -> set[str]:
    """Cancel the jobs with these task ids; return the ids that belong to jobs."""
    with engine.begin() as connection:
        jobs = {}
        for text in task_ids:
            try:
                row = reads.job_by_task_id(connection, uuid.UUID(text))
            except ValueError:
                continue
            if row is not None:
                jobs[text] = row.id
    actions.cancel(list(jobs.values()), by=f"{lineage.submitter()}, a revoke")
    return set(jobs)
