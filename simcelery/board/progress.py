"""What a running job reports: progress and log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, update

from simcelery.board import engine, sql
from simcelery.board.models import Job
from simcelery.board.states import State
from simcelery.board.values import EndedAttempt, RunningReport
from simcelery.chunks import numbered


def save_progress(connection: Connection, job_id: int, claim_id: uuid.UUID, progress: dict[str, Any]) -> bool:
    """Store what the job reports, as long as its claim is the newest."""
    saved = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.claim_id == claim_id, Job.state == State.RUNNING)
        .values(progress=progress)
    )
    return saved.rowcount == 1


def save(connection: Connection, reports: Sequence[RunningReport]) -> set[uuid.UUID]:
    """Store what attempts have printed and reported, as long as they run; to store it again changes nothing.

    Returns:
        The claims of those that still run as far as the board knows; of the others nothing is stored.
    """
    given = [
        {"id": one.job_id, "claim_id": one.claim_id.hex, **log_of(one)}
        | ({} if one.progress is None else {"progress": one.progress})
        for one in reports
    ]
    return set(sql.execute(connection, "report_running", reports=engine.as_json(given)).scalars())


def log_of(report: EndedAttempt | RunningReport) -> dict[str, Any]:
    """What the functions of the schema read of a log."""
    if not report.log:
        return {}
    found: dict[str, Any] = {"log": {str(number): text for number, text in numbered(report.log).items()}}
    if report.log_kept is not None:
        found["log_first"], found["log_start"], found["log_total"] = report.log_kept
    return found
