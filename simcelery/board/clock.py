"""Postgres's clock was set back: times that it wrote before are now in the future.

All times are Postgres's own, so if its host's clock ran ahead until somebody corrected it, the board holds
times that are still to come. Nothing waits for them, except a time that the user asked for (``run_at``).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, SQLColumnExpression, and_, case, func, select, update

from simcelery.board import sql
from simcelery.board.models import Attempt, Job, Worker
from simcelery.board.sql_helpers import seconds
from simcelery.board.states import State

# now() is when a transaction began: one that took longer may have written a moment later than ours.
MARGIN = 5.0


def is_ahead(moment: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Whether a moment that Postgres wrote is later than it can be."""
    return moment > func.now() + seconds(MARGIN)


def not_ahead(moment: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """A past moment, or now if it lies in the future: nothing ends before it began."""
    return case((moment > func.now(), func.now()), else_=moment)


def set_right(connection: Connection) -> None:
    """Set times that lie in the future to now: those of leases, running jobs, sent messages, and back-offs.

    A live worker renews anyway; a dead one loses its jobs a lease later. Rows that somebody holds locked
    are left out, since they are just being written.
    """
    _workers(connection)
    for state, column in ((State.RUNNING, Job.started_at), (State.PENDING, Job.published_at)):
        found = select(Job.id).where(Job.state == state, is_ahead(column))
        held = found.order_by(Job.id).with_for_update(skip_locked=True)
        connection.execute(
            update(Job).where(Job.id.in_(held.cte("held").select())).values({column: func.now()})
        )
    _backoffs(connection)


def _workers(connection: Connection) -> None:
    ahead = select(Worker.id).where(Worker.ended_at.is_(None), is_ahead(Worker.renewed_at))
    held = ahead.order_by(Worker.id).with_for_update(skip_locked=True).cte("held")
    expires_at = Worker.lease_expires_at
    moved = func.now() + (expires_at - Worker.renewed_at)
    connection.execute(
        update(Worker)
        .where(Worker.id.in_(held.select()), func.isfinite(Worker.renewed_at))
        .values(
            renewed_at=func.now(),
            lease_expires_at=case((func.isfinite(expires_at), moved), else_=expires_at),
            steady_since=func.least(Worker.steady_since, func.now()),
        )
    )


def _backoffs(connection: Connection) -> None:
    """A retry waits for as long as it was to wait when its last attempt ended."""
    waiting = (
        select(Job.id, (Job.run_at - Attempt.finished_at).label("pause"))
        .join(Attempt, and_(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt))
        .where(Job.state == State.SCHEDULED, Job.attempt > 0, is_ahead(Attempt.finished_at))
        .where(func.isfinite(Job.run_at), func.isfinite(Attempt.finished_at))
        .order_by(Job.id)
        .with_for_update(of=Job, skip_locked=True)
        .cte("waiting")
    )
    connection.execute(update(Job).where(Job.id == waiting.c.id).values(run_at=func.now() + waiting.c.pause))


def ahead(connection: Connection) -> dict[str, float]:
    """The times that lie ahead of Postgres's clock, and how many seconds: the latest of each kind."""
    row = sql.execute(connection, "ahead_of_clock", margin=MARGIN).one()
    return {name: value for name, value in row._mapping.items() if value is not None}
