"""When a job may be rescued: it is left to its worker for a while after that worker's lease has expired.

The longer it had been running, the more work would be lost, so the longer it is left. And after a start of
Postgres, all workers have one lease to renew. The rule is given here twice, side by side: as SQL for all
jobs, and in Python for one.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ColumnElement, and_, func

from simcelery.board.models import Job, Worker
from simcelery.board.sql_helpers import seconds, seconds_between

SHARE = 0.05  # of the time that the job had been running when the lease ended
MOST = 900.0  # seconds


def is_over(grace: float) -> ColumnElement[bool]:
    """Whether a job may be rescued from its worker.

    Parameters:
        grace: seconds that every worker has to renew after a start of Postgres: one lease.
    """
    # Not below zero, where the clock was set back in between.
    had_run = func.greatest(seconds_between(Job.started_at, Worker.lease_expires_at), 0)
    overdue = seconds_between(Worker.lease_expires_at, func.now())
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
    """The time from which it may be rescued."""
    had_run = max((lease_expires_at - started_at).total_seconds(), 0.0) if started_at else 0.0
    overdue = lease_expires_at + dt.timedelta(seconds=min(had_run * SHARE, MOST))
    return max(overdue, postgres_started_at + dt.timedelta(seconds=grace))
