"""What jobs were to do before their parameters were revised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from simcelery.board.sql import Reader
from simcelery.board.unreadable import bad_rows

# Tells whether a job's parameters are still those that somebody has seen.
SEEN = "hashtextextended(jobs.parameters::text, 0)"


def revisable(connection: Reader, ids: Iterable[int]) -> list[Any]:
    """What must be known of jobs to revise them, in the order of their ids."""
    rows = connection.exec_driver_sql(
        "SELECT id, workflow, version, state, parameters, idempotency_key, "
        f"{SEEN} AS seen FROM jobs WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id",
        {"ids": list(ids)},
    )
    return list(rows)


@dataclass(frozen=True)
class Stage:
    """The parameters that a job had for some of its attempts, encoded.

    Attributes:
        last_attempt: the last attempt that ran with them; None: they are those that the job has now.
        revised_by, revised_at: who changed them then, and when.
    """

    parameters: dict[str, Any]
    last_attempt: int | None = None
    revised_by: str | None = None
    revised_at: dt.datetime | None = None


def stages(connection: Reader, job_id: int) -> list[Stage]:
    """All parameters that a job has had, those of now last."""
    return stages_of(connection, [job_id]).get(job_id, [])


def stages_of(connection: Reader, job_ids: Iterable[int]) -> dict[int, list[Stage]]:
    """The same of many jobs."""
    ids = {"ids": list(job_ids)}
    rows = connection.exec_driver_sql(
        "SELECT job_id, parameters, last_attempt, revised_by, revised_at FROM revisions "
        "WHERE job_id = ANY(%(ids)s::bigint[]) ORDER BY job_id, revision",
        ids,
    ).all()
    found: dict[int, list[Stage]] = {}
    for row in rows:
        stage = Stage(bad_rows.named_values(row.parameters), row.last_attempt, row.revised_by, row.revised_at)
        found.setdefault(row.job_id, []).append(stage)
    now = "SELECT id, parameters FROM jobs WHERE id = ANY(%(ids)s::bigint[])"
    for row in connection.exec_driver_sql(now, ids):
        found.setdefault(row.id, []).append(Stage(bad_rows.named_values(row.parameters)))
    return found


def revisions(found: Sequence[Stage]) -> list[dict[str, Any]]:
    """The revisions between the stages of a job, oldest first, with the parameters before and after each."""
    return [
        {
            "revision": number,
            "last_attempt": one.last_attempt,
            "revised_by": one.revised_by,
            "revised_at": one.revised_at,
            "before": one.parameters,
            "after": following.parameters,
        }
        for number, (one, following) in enumerate(pairwise(found), 1)
    ]


def ran_with(found: Sequence[Stage], attempt: int) -> dict[str, Any]:
    """The parameters of an attempt."""
    return next(one.parameters for one in found if one.last_attempt is None or attempt <= one.last_attempt)
