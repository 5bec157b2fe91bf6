"""All that the board holds of jobs, each as it was at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from simcelery.board import dependencies
from simcelery.board.reads import logs
from simcelery.board.reads.artifacts import Artifact, artifacts_of
from simcelery.board.reads.jobs import Filter, JobRow, attempts_of, jobs
from simcelery.board.reads.logs import AttemptLog


@dataclass(frozen=True)
class Record:
    """One job.

    Attributes:
        parents: the ids of the jobs that it depends on.
        attempts: those that have ended, oldest first; see `reads.attempts`.
        logs: what its attempts printed, also one that runs.
        artifacts: the files that it has registered.
    """

    job: JobRow
    parents: list[int]
    attempts: list[dict[str, Any]]
    logs: list[AttemptLog]
    artifacts: list[Artifact]


def records(connection: Connection, which: Filter, *, limit: int | None, newest: bool) -> list[Record]:
    """The jobs that pass the filter, in a transaction of `engine.as_of_now`."""
    found = jobs(connection, which, limit=limit, newest=newest)
    ids = [job.id for job in found]
    parents = dependencies.parents_of_each(connection, ids)
    attempts = attempts_of(connection, ids)
    printed = logs.of_attempts(connection, ids)
    left = artifacts_of(connection, ids)
    return [
        Record(
            job,
            parents.get(job.id, []),
            attempts.get(job.id, []),
            printed.get(job.id, []),
            left.get(job.id, []),
        )
        for job in found
    ]
