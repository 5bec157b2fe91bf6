"""The files that jobs have left, for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from simcelery.board import sql
from simcelery.board.sql import Reader


@dataclass(frozen=True)
class Artifact:
    """A file that a job has left.

    Attributes:
        name: what it is called, with slashes.
        path: where it was on its host when it was registered.
        size: bytes.
        sha256: its checksum.
        url: where it is stored; None: only on its host.
    """

    job_id: int
    attempt: int
    name: str
    path: str
    host: str
    size: int
    sha256: str
    url: str | None
    registered_at: dt.datetime


def artifacts_of(connection: Reader, ids: Sequence[int]) -> dict[int, list[Artifact]]:
    """The files of jobs, by name; jobs without any are left out."""
    found: dict[int, list[Artifact]] = {}
    for row in sql.execute(connection, "artifacts_of", ids=list(ids)):
        found.setdefault(row.job_id, []).append(Artifact(*row))
    return found
