"""With how many versions of their files jobs ran."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select

from simcelery.board.models import Attempt, Environment, Job
from simcelery.board.reads.jobs import Filter
from simcelery.board.reads.source_of import in_details, of_call


class Version(NamedTuple):
    """So many jobs of a workflow that ran with the same source."""

    workflow: str
    source: str
    jobs: int


def versions(connection: Connection, which: Filter, limit: int | None = None) -> list[Version]:
    """The sources that the last attempts of these jobs ran with, by workflow; the most numerous first.

    Parameters:
        limit: look only at so many of the jobs, the oldest.
    """
    jobs = select(Job.id).where(*which.conditions()).order_by(Job.id).limit(limit).subquery()
    ran = (
        select(Job.workflow, Attempt.environment_id, of_call.label("own"), func.count().label("jobs"))
        .join(jobs, jobs.c.id == Job.id)
        .join(Attempt, and_(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt))
        .group_by(Job.workflow, Attempt.environment_id, of_call)
        .subquery()
        .c
    )
    source = func.coalesce(ran.own, in_details(Environment.details, ran.workflow))
    number = func.sum(ran.jobs)
    rows = connection.execute(
        select(ran.workflow, source, number)
        .outerjoin(Environment, Environment.id == ran.environment_id)
        .where(source != "")
        .group_by(ran.workflow, source)
        .order_by(ran.workflow, number.desc(), source)
    )
    return [Version(workflow, of, int(jobs)) for workflow, of, jobs in rows]
