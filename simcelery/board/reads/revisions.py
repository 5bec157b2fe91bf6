"""What jobs were to do before their parameters were revised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Text, cast, func, select

from simcelery.board.models import Job, Revision
from simcelery.board.sql_helpers import among
from simcelery.board.unreadable import bad_rows

# Tells whether a job's parameters are still those that somebody has seen.
SEEN = func.hashtextextended(cast(Job.parameters, Text), 0).label("seen")


def revisable(connection: Connection, ids: Iterable[int]) -> list[Any]:
    """What must be known of jobs to revise them, in the order of their ids."""
    columns = (Job.id, Job.workflow, Job.version, Job.state, Job.parameters, Job.idempotency_key, SEEN)
    return list(connection.execute(select(*columns).where(among(Job.id, ids)).order_by(Job.id)))


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


def stages(connection: Connection, job_id: int) -> list[Stage]:
    """All parameters that a job has had, those of now last."""
    return stages_of(connection, [job_id]).get(job_id, [])


def stages_of(connection: Connection, job_ids: Iterable[int]) -> dict[int, list[Stage]]:
    """The same of many jobs."""
    ids = list(job_ids)
    columns = (Revision.parameters, Revision.last_attempt, Revision.revised_by, Revision.revised_at)
    rows = connection.execute(
        select(Revision.job_id, *columns)
        .where(among(Revision.job_id, ids))
        .order_by(Revision.job_id, Revision.revision)
    ).all()
    found: dict[int, list[Stage]] = {}
    for row in rows:
        stage = Stage(bad_rows.named_values(row.parameters), row.last_attempt, row.revised_by, row.revised_at)
        found.setdefault(row.job_id, []).append(stage)
    for number, parameters in connection.execute(select(Job.id, Job.parameters).where(among(Job.id, ids))):
        found.setdefault(number, []).append(Stage(bad_rows.named_values(parameters)))
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
