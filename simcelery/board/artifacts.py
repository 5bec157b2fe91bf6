"""Files that attempts register: fenced by claim, and nobody's once no job has them any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, exists, func, or_, select

from simcelery.board import engine, sql
from simcelery.board.models import Artifact
from simcelery.board.sql_helpers import among
from simcelery.board.values import Claim


@dataclass(frozen=True)
class NewArtifact:
    """A file to register.

    Attributes:
        path: where it is on its host.
        size: bytes.
        url: where it is to be stored; None: nowhere else.
    """

    name: str
    path: str
    host: str
    size: int
    sha256: str
    url: str | None


def save(claim: Claim, files: Sequence[NewArtifact]) -> bool:
    """Register files durably, before they are stored; False: another attempt has the job now."""
    given = {"job_id": claim.job_id, "claim_id": claim.claim_id}
    given |= {"files": engine.as_json([asdict(one) for one in files])}
    return bool(engine.one_round_trip(sql.statement("save_artifacts"), given))


def settle(connection: Connection, most: int) -> int:
    """Find out which registered files count, and which never will; how many were looked at."""
    return len(sql.execute(connection, "settle_artifacts", most=most).all())


def nobodys(connection: Connection) -> bool:
    """Whether there is something for `take`."""
    due = or_(Artifact.next_at.is_(None), Artifact.next_at <= func.now())
    return bool(connection.scalar(select(exists().where(Artifact.job_id.is_(None), due))))


@dataclass(frozen=True)
class Left:
    """A file that is nobody's any more, and where it is stored, if it is."""

    id: int
    url: str | None


def take(connection: Connection, most: int) -> list[Left]:
    """Some of what is to be deleted; it is taken again if it is not forgotten in time."""
    return [Left(row.id, row.url) for row in sql.execute(connection, "take_artifacts", most=most)]


def forget(connection: Connection, ids: Collection[int]) -> None:
    """They have been deleted."""
    connection.execute(delete(Artifact).where(among(Artifact.id, ids)))
