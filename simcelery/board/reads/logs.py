"""What jobs printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, and_, select

from simcelery.board.models import Attempt, LogChunk
from simcelery.board.sql_helpers import among


@dataclass(frozen=True)
class AttemptLog:
    """What an attempt printed. `host`: where it ran; None: it has not ended."""

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
        select(LogChunk.job_id, LogChunk.attempt, LogChunk.text, Attempt.host)
        .outerjoin(Attempt, and_(Attempt.job_id == LogChunk.job_id, Attempt.attempt == LogChunk.attempt))
        .where(among(LogChunk.job_id, job_ids))
        .order_by(LogChunk.job_id, LogChunk.attempt, LogChunk.seq)
    )
    if attempt is not None:
        statement = statement.where(LogChunk.attempt == attempt)
    found: dict[int, list[AttemptLog]] = {}
    for (job_id, number), chunks in groupby(connection.execute(statement), key=lambda row: row[:2]):
        first, *others = chunks
        text = "".join(chunk.text for chunk in (first, *others))
        found.setdefault(job_id, []).append(AttemptLog(number, first.host, text))
    return found
