"""Prune: what is deleted from the board when it has been over for long enough."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, exists, func, not_, or_, select

from simcelery.board.among import among
from simcelery.board.models import Dependency, Job, Worker
from simcelery.board.seconds import seconds
from simcelery.board.states import State


def prune(connection: Connection, older_than: float, limit: int = 1000) -> int:
    """Delete jobs that finished more than `older_than` seconds ago, oldest first, with all that is theirs.

    A job is kept while a child needs it: one that is not finished, or not as long ago.

    Returns:
        How many were deleted, at most `limit`.
    """
    old = Job.finished_at < func.now() - seconds(older_than)
    candidates = connection.scalars(
        select(Job.id)
        .where(old, ~_is_needed(older_than))
        .order_by(Job.finished_at)
        .limit(limit)
        .with_for_update(of=Job, skip_locked=True)
    ).all()
    # Asked again now that nobody can add a child: one may have been recorded before the lock was taken.
    over = connection.scalars(select(Job.id).where(among(Job.id, candidates), ~_is_needed(older_than))).all()
    _forget_edges(connection, list(over))
    return connection.execute(delete(Job).where(among(Job.id, over))).rowcount


def _is_needed(older_than: float) -> ColumnElement[bool]:
    child = Job.__table__.alias("child")
    recent = or_(child.c.finished_at.is_(None), child.c.finished_at >= func.now() - seconds(older_than))
    return (
        select(Dependency.job_id)
        .join(child, child.c.id == Dependency.job_id)
        .where(Dependency.parent_id == Job.id, recent)
        .correlate(Job)
        .exists()
    )


def _forget_edges(connection: Connection, ids: list[int]) -> None:
    """Delete the edges to and from these jobs. In order: another prune may meet the same edges."""
    theirs = or_(among(Dependency.job_id, ids), among(Dependency.parent_id, ids))
    connection.execute(
        select(Dependency.job_id)
        .where(theirs)
        .order_by(Dependency.job_id, Dependency.parent_id)
        .with_for_update()
    )
    connection.execute(delete(Dependency).where(theirs))


def forget_workers(connection: Connection, older_than: float, limit: int = 1000) -> int:
    """Delete workers that ended, or whose lease did, more than `older_than` seconds ago; how many.

    A finished or waiting job may still bear such a worker's number: to look for one would mean to read
    all jobs. Nothing is lost, since every attempt bears the worker's name and host itself.
    """
    gone = func.coalesce(Worker.ended_at, Worker.lease_expires_at) < func.now() - seconds(older_than)
    runs = exists().where(Job.worker_id == Worker.id, Job.state == State.RUNNING)
    chosen = (
        select(Worker.id)
        .where(gone, not_(runs))
        .order_by(Worker.id)
        .limit(limit)
        .with_for_update(of=Worker, skip_locked=True)
        .cte("chosen")
    )
    return connection.execute(delete(Worker).where(Worker.id.in_(select(chosen.c.id)))).rowcount
