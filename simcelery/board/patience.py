"""Who is rescued when: a job is left to its worker for a while after that worker's lease has ended.

The longer it had been running by then, the more would be thrown away. And a Postgres that has just started
gives all workers a lease to renew. The rule stands here twice, side by side: as rescue asks it of all jobs,
and as it is told of one.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ColumnElement, and_, extract, func

from simcelery.board.models import Job, Worker
from simcelery.board.sql_helpers import seconds

SHARE = 0.05  # of the time that the job had been running when the lease ended
MOST = 900.0  # seconds


def is_over(grace: float) -> ColumnElement[bool]:
    """Whether a job is due to be taken from its worker.

    Parameters:
        grace: seconds that every worker has to renew after Postgres started: one lease.
    """
    # Not below zero, where the clock was set back in between.
    had_run = func.greatest(extract("epoch", Worker.lease_expires_at - Job.started_at), 0)
    overdue = extract("epoch", func.now() - Worker.lease_expires_at)
    return and_(
        Worker.lease_expires_at < func.now(),
        overdue > func.least(had_run * SHARE, MOST),
        func.now() - func.pg_postmaster_start_time() > seconds(grace),
    )


def over_at(
    lease_expires_at: dt.datetime,
    started_at: dt.datetime | None,
    postgres_started_at: dt.datetime,
    grace: float,
) -> dt.datetime:
    """When that is so."""
    had_run = max((lease_expires_at - started_at).total_seconds(), 0.0) if started_at else 0.0
    overdue = lease_expires_at + dt.timedelta(seconds=min(had_run * SHARE, MOST))
    return max(overdue, postgres_started_at + dt.timedelta(seconds=grace))
