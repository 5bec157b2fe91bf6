"""What jobs printed, those that run included."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from simcelery.board import sql
from simcelery.board.sql import Reader
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
    connection: Reader, job_ids: Iterable[int], attempt: int | None = None
) -> dict[int, list[AttemptLog]]:
    """The logs of these jobs, by job, the first attempt first; attempts that printed nothing are left out.

    Parameters:
        attempt: only the attempt with this number.
    """
    rows = sql.execute(connection, "logs_of_attempts", ids=list(job_ids), attempt=attempt)
    found: dict[int, list[AttemptLog]] = {}
    for (job_id, number), of_one in groupby(rows, key=lambda row: (row.job_id, row.attempt)):
        chunks = list(of_one)
        text = "".join(joined((chunk.seq, chunk.text) for chunk in chunks))
        found.setdefault(job_id, []).append(AttemptLog(number, chunks[0].host, text))
    return found


def log(connection: Reader, job_id: int) -> str:
    """The text that a job has printed, all attempts in order."""
    return "".join(one.text for one in of_attempts(connection, [job_id]).get(job_id, []))


def end_of(connection: Reader, job_id: int, most: int) -> AttemptLog | None:
    """What the last attempt that has printed anything printed last: at most so many chunks."""
    rows = connection.exec_driver_sql(
        "SELECT attempt, seq, text FROM log_chunks WHERE job_id = %(job_id)s "
        "ORDER BY attempt DESC, seq DESC LIMIT %(most)s",
        {"job_id": job_id, "most": most},
    ).all()
    if not rows:
        return None
    chunks = [(row.seq, row.text) for row in reversed(rows) if row.attempt == rows[0].attempt]
    return AttemptLog(rows[0].attempt, None, "".join(joined(chunks, chunks[0][0])))


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


def look(connection: Reader, task_id: uuid.UUID, place: Place) -> Look | None:
    """How it goes on; None: the job is not on the board."""
    found = next(iter(sql.execute(connection, "look", task_id=task_id)), None)
    if found is None:
        return None
    # In this order: an attempt that has ended by the first statement has a whole log in the second.
    rows = connection.exec_driver_sql(
        "SELECT attempt, seq, text FROM log_chunks WHERE job_id = %(job_id)s "
        "AND (attempt, seq) >= (%(attempt)s, %(number)s) ORDER BY attempt, seq",
        {"job_id": found.id, "attempt": place.attempt, "number": place.number},
    )
    state = bad_rows.state(found.state) or State.PENDING
    return Look(found.id, state, found.attempt, found.host, [(row[0], row[1], row[2]) for row in rows])
