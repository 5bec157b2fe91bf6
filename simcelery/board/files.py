"""Files of attempts' folders, asked for through the board: at a worker's own node nobody can ask anything."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from simcelery.board.models import Attempt, FileRequest, Job
from simcelery.board.sql_helpers import seconds

STANDS = 60.0  # seconds; whoever asked has long given up
_FORGOTTEN = 3600.0


@dataclass(frozen=True)
class Wanted:
    """A file that somebody wants to read.

    Attributes:
        workdir: the attempt's folder, where the attempt has ended and left one.
        most: bytes, of the end of the file, or from `start` on.
    """

    id: int
    job_id: int
    attempt: int
    claim_id: uuid.UUID
    workdir: str | None
    path: str
    most: int
    start: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a worker found: the end of the file, and the size of all of it; or why it has nothing."""

    content: bytes = b""
    size: int = 0
    error: str | None = None


def ask(
    connection: Connection,
    *,
    job_id: int,
    attempt: int,
    worker_id: int | None,
    host: str,
    path: str,
    most: int,
    start: int | None = None,
) -> int:
    """Ask for a file; the number of the request.

    Parameters:
        worker_id: who is to answer; None: any worker on the host that sees the folder.
    """
    connection.execute(delete(FileRequest).where(FileRequest.asked_at < func.now() - seconds(_FORGOTTEN)))
    return connection.execute(
        insert(FileRequest)
        .values(
            job_id=job_id, attempt=attempt, worker_id=worker_id, host=host, path=path, most=most, start=start
        )
        .returning(FileRequest.id)
    ).scalar_one()


def asked_of(connection: Connection, worker_id: int, host: str) -> list[Wanted]:
    """What this worker is asked for, or any worker on its host."""
    rows = connection.execute(_asking(worker_id, host))
    return [Wanted(**row._mapping) for row in rows if row.claim_id]


@lru_cache(maxsize=16)  # every worker asks it again and again
def _asking(worker_id: int, host: str) -> Select[*tuple[Any, ...]]:
    return (
        select(
            FileRequest.id,
            FileRequest.job_id,
            FileRequest.attempt,
            func.coalesce(Attempt.claim_id, Job.claim_id).label("claim_id"),
            Attempt.workdir,
            FileRequest.path,
            FileRequest.most,
            FileRequest.start,
        )
        .join(Job, Job.id == FileRequest.job_id)
        .outerjoin(Attempt, and_(Attempt.job_id == Job.id, Attempt.attempt == FileRequest.attempt))
        .where(
            FileRequest.answered_by.is_(None),
            FileRequest.asked_at > func.now() - seconds(STANDS),
            or_(
                FileRequest.worker_id == worker_id,
                and_(FileRequest.worker_id.is_(None), FileRequest.host == host),
            ),
        )
        .order_by(FileRequest.id)
        .limit(100)
    )


def answer(connection: Connection, request_id: int, by: str, found: Answer) -> None:
    """Answer, unless another worker has."""
    connection.execute(
        update(FileRequest)
        .where(FileRequest.id == request_id, FileRequest.answered_by.is_(None))
        .values(answered_by=by, content=found.content, size=found.size, error=found.error)
    )


def answer_to(connection: Connection, request_id: int) -> Answer | None:
    """The answer; None: there is none yet."""
    row = connection.execute(
        select(FileRequest.content, FileRequest.size, FileRequest.error).where(
            FileRequest.id == request_id, FileRequest.answered_by.is_not(None)
        )
    ).one_or_none()
    return None if row is None else Answer(bytes(row.content or b""), row.size or 0, row.error)


def withdraw(connection: Connection, request_id: int) -> None:
    """Nobody waits for the answer any more."""
    connection.execute(delete(FileRequest).where(FileRequest.id == request_id))
