"""What jobs printed, those that run included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, and_, func, select

from simcelery.board.models import Attempt, Job, LogChunk, Worker
from simcelery.board.sql_helpers import among
from simcelery.board.states import State
from simcelery.chunks import joined


@dataclass(frozen=True)
class AttemptLog:
    """What an attempt has printed so far. `host`: where it ran, or runs."""

    attempt: int
    host: str | None
    text: str


def of_attempts(
    connection: Connection, job_ids: Iterable[int], attempt: int | None = None
) -> dict[int, list[AttemptLog]]:
    """The logs of these jobs, by job, the first attempt first; attempts that printed nothing are left out.

    Parameters:
        attempt: only the attempt with this number.
    """
    statement = (
        select(
            LogChunk.job_id,
            LogChunk.attempt,
            LogChunk.seq,
            LogChunk.text,
            func.coalesce(Attempt.host, Worker.host).label("host"),
        )
        .outerjoin(Attempt, and_(Attempt.job_id == LogChunk.job_id, Attempt.attempt == LogChunk.attempt))
        .outerjoin(
            Job,
            and_(Job.id == LogChunk.job_id, Job.attempt == LogChunk.attempt, Job.state == State.RUNNING),
        )
        .outerjoin(Worker, Worker.id == Job.worker_id)
        .where(among(LogChunk.job_id, job_ids))
        .order_by(LogChunk.job_id, LogChunk.attempt, LogChunk.seq)
    )
    if attempt is not None:
        statement = statement.where(LogChunk.attempt == attempt)
    found: dict[int, list[AttemptLog]] = {}
    for (job_id, number), rows in groupby(connection.execute(statement), key=lambda row: row[:2]):
        chunks = list(rows)
        text = "".join(joined((chunk.seq, chunk.text) for chunk in chunks))
        found.setdefault(job_id, []).append(AttemptLog(number, chunks[0].host, text))
    return found


def log(connection: Connection, job_id: int) -> str:
    """The text that a job has printed, all attempts in order."""
    return "".join(one.text for one in of_attempts(connection, [job_id]).get(job_id, []))
