"""What jobs printed, those that run included."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select, tuple_

from simcelery.board.models import Attempt, Job, LogChunk, Worker
from simcelery.board.sql_helpers import among
from simcelery.board.states import State
from simcelery.board.unreadable import bad_rows
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


class Place(NamedTuple):
    """Where somebody is who reads along: in this chunk of this attempt, behind so many characters."""

    attempt: int = 0
    number: int = 0
    seen: int = 0


@dataclass(frozen=True)
class Look:
    """What a job is doing, and what it has printed from a place on.

    Attributes:
        attempt: its last one.
        host: where that runs, or ran.
        chunks: attempt, number and text, in order; that of the place itself is the first, if it is there.
    """

    job_id: int
    state: State
    attempt: int
    host: str | None
    chunks: Sequence[tuple[int, int, str]]


def look(connection: Connection, task_id: uuid.UUID, place: Place) -> Look | None:
    """How it goes on; None: the job is not on the board."""
    found = connection.execute(
        select(Job.id, Job.state, Job.attempt, func.coalesce(Attempt.host, Worker.host).label("host"))
        .outerjoin(Attempt, and_(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt))
        .outerjoin(Worker, and_(Worker.id == Job.worker_id, Job.state == State.RUNNING))
        .where(Job.task_id == task_id)
    ).one_or_none()
    if found is None:
        return None
    # In this order: an attempt that has ended by the first statement has a whole log in the second.
    rows = connection.execute(
        select(LogChunk.attempt, LogChunk.seq, LogChunk.text)
        .where(
            LogChunk.job_id == found.id,
            tuple_(LogChunk.attempt, LogChunk.seq) >= (place.attempt, place.number),
        )
        .order_by(LogChunk.attempt, LogChunk.seq)
    )
    state = bad_rows.state(found.state) or State.PENDING
    return Look(found.id, state, found.attempt, found.host, [(row[0], row[1], row[2]) for row in rows])
