"""Prune: delete from the board what finished long enough ago."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import insert

from simcelery import chunks
from simcelery.board import allocations, sql, subscriptions
from simcelery.board.models import (
    Allocation,
    Attempt,
    Canary,
    Cluster,
    Dependency,
    Environment,
    Gate,
    Horizon,
    Job,
    Worker,
)
from simcelery.board.sql_helpers import among, by_index, seconds
from simcelery.board.states import State


def delete_finished(connection: Connection, older_than: float, limit: int) -> int:
    """Delete jobs that finished more than `older_than` seconds ago, oldest first, with all that is theirs.

    A job is kept while a dependent needs it: one that is unfinished, or finished more recently; and a canary,
    while jobs are held until it has succeeded.

    Returns:
        How many were deleted, at most `limit`.
    """
    by_index(connection)
    oldest = _old(older_than).limit(limit).with_for_update(of=Job, skip_locked=True)
    return _delete(connection, list(connection.scalars(oldest)), older_than)


def prunable(connection: Connection, older_than: float, limit: int | None = None) -> list[int]:
    """The ids of the jobs that `prune` would delete, the oldest first."""
    by_index(connection)
    return list(connection.scalars(_old(older_than).limit(limit)))


def count_prunable(connection: Connection, older_than: float) -> int:
    """How many jobs `prune` would delete."""
    by_index(connection)
    number, old = select(func.count()).select_from(Job), _is_old(older_than)
    # Whether others need it is asked only of jobs that anything refers to: of most that is nothing.
    referred = union(select(Dependency.parent_id), select(Canary.job_id)).subquery()
    kept = number.where(old, Job.id.in_(select(referred.c.parent_id)), _is_needed(older_than))
    total = connection.scalar(select(number.where(old).scalar_subquery() - kept.scalar_subquery()))
    return total or 0


@dataclass(frozen=True)
class Archived:
    """All that the board holds of a job, as one line of JSON.

    These are its columns, and for ``needs_id`` what that stands for, ``needs``; its ``parents``, of which it
    waited only for the end of ``after_any``, and went on in ``goes_on_in``; ``attempts``, ``escalations``,
    ``revisions``, ``interventions``, ``artifacts``, ``steps``, ``corrections``, ``restarts``,
    ``checkpoint`` and ``log``.
    """

    id: int
    finished_at: dt.datetime
    line: str


def archived(connection: Connection, ids: Sequence[int]) -> list[Archived]:
    """What an archive holds of these jobs; unfinished ones are left out."""
    by_index(connection)
    found = sql.execute(connection, "archived_jobs", ids=list(ids), size=chunks.SIZE)
    return [Archived(**row) for row in found.mappings()]


def delete_archived(connection: Connection, jobs: Sequence[Archived], older_than: float) -> int:
    """Delete jobs that are still as they were archived, as `prune` does; return how many.

    One that has run again since then differs from the archive, and is kept.
    """
    by_index(connection)
    finished = {job.id: job.finished_at for job in jobs}
    held = connection.execute(
        select(Job.id, Job.finished_at)
        .where(among(Job.id, finished))
        .order_by(Job.id)
        .with_for_update(skip_locked=True)
    )
    same = [row.id for row in held if row.finished_at == finished[row.id]]
    return _delete(connection, same, older_than)


def _old(older_than: float) -> Select[int]:
    return select(Job.id).where(_is_old(older_than), ~_is_needed(older_than)).order_by(Job.finished_at)


def _is_old(older_than: float) -> ColumnElement[bool]:
    return Job.finished_at < func.now() - seconds(older_than)


def _delete(connection: Connection, candidates: Sequence[int], older_than: float) -> int:
    # Asked again now that nobody can add a dependent: one may have been recorded before the lock was taken.
    over = connection.scalars(select(Job.id).where(among(Job.id, candidates), ~_is_needed(older_than))).all()
    _forget_edges(connection, list(over))
    number = sql.execute(connection, "delete_jobs", ids=list(over)).scalar_one()
    return _deleted(connection, number, older_than)


# Seconds: so far back nothing has ended.
_AGES = 100 * 365.25 * 86_400


def _deleted(connection: Connection, number: int, older_than: float) -> int:
    """Note until when jobs and workers may be missing from now on, since so many were deleted."""
    if number:
        added = insert(Horizon).values(until=func.now() - seconds(min(older_than, _AGES)))
        # One that lies ahead is nonsense, from a restore by hand or a clock that was set back.
        latest = case(
            (Horizon.until <= func.now(), func.greatest(Horizon.until, added.excluded.until)),
            else_=added.excluded.until,
        )
        connection.execute(added.on_conflict_do_update(index_elements=[Horizon.one], set_={"until": latest}))
    return number


def _is_needed(older_than: float) -> ColumnElement[bool]:
    edges = select(Dependency.job_id).where(Dependency.parent_id == Job.id).correlate(Job)
    edge = edges.order_by(Dependency.job_id).offset(0).lateral("edge")
    dependent = Job.__table__.alias().c
    recent = or_(dependent.finished_at.is_(None), dependent.finished_at >= func.now() - seconds(older_than))
    found = select(dependent.id).where(dependent.id == edge.c.job_id, recent).offset(0).lateral("dependent")
    needing = select(found.c.id).join_from(edge, found, true()).limit(1).correlate(Job).scalar_subquery()
    return or_(needing.is_not(None), _is_awaited())


def _is_awaited() -> ColumnElement[bool]:
    """Whether it is a canary of a gate that is closed until all of them have succeeded."""
    named = select(Canary.gate_id).where(Canary.job_id == Job.id).correlate(Job).offset(0).lateral("named")
    closed = select(Gate.id).where(Gate.id == named.c.gate_id, Gate.closed_by == "canary").offset(0).lateral()
    waiting = select(closed.c.id).join_from(named, closed, true()).limit(1).correlate(Job).scalar_subquery()
    return waiting.is_not(None)


def _forget_edges(connection: Connection, ids: list[int]) -> None:
    """Delete the dependencies of these jobs, in order, since another prune may delete the same ones."""
    sql.execute(connection, "lock_edges", ids=ids)
    for end in (Dependency.job_id, Dependency.parent_id):
        connection.execute(delete(Dependency).where(among(end, ids)))


# Seconds: whoever has made a gate has recorded jobs behind it by then.
_NEW_GATE = 86_400.0


def forget_gates(connection: Connection, older_than: float, limit: int) -> int:
    """Delete gates that changed more than `older_than` seconds ago, and a day, and have no jobs any more.

    Returns:
        How many were deleted, at most `limit`.
    """
    by_index(connection)
    old = Gate.changed_at < func.now() - seconds(max(older_than, _NEW_GATE))
    behind = select(Job.id).where(Job.gate_id == Gate.id).limit(1).correlate(Gate).scalar_subquery()
    oldest = select(Gate.id).where(old, behind.is_(None)).order_by(Gate.id).limit(limit)
    empty = list(connection.scalars(oldest.with_for_update(of=Gate, skip_locked=True)))
    # Asked again now that nobody can record behind them.
    gone = delete(Gate).where(among(Gate.id, empty), behind.is_(None))
    return connection.execute(gone).rowcount if empty else 0


def forget_environments(connection: Connection, older_than: float, limit: int) -> int:
    """Delete environments of more than `older_than` seconds ago that no attempt and no worker refers to.

    Reads all attempts, unless each environment is that of a worker.

    Returns:
        How many were deleted, at most `limit`.
    """
    old = Environment.since < func.now() - seconds(older_than)
    of_worker = exists().where(Worker.environment_id == Environment.id)
    of_attempt = exists().where(Attempt.environment_id == Environment.id)
    chosen = select(Environment.id).where(old, ~of_worker).order_by(Environment.id).limit(limit)
    held = list(connection.scalars(chosen.with_for_update(skip_locked=True)))
    # Asked again now that no worker can begin with one of them.
    gone = delete(Environment).where(among(Environment.id, held), ~of_worker, ~of_attempt)
    return connection.execute(gone).rowcount if held else 0


def forget_workers(connection: Connection, older_than: float, limit: int) -> int:
    """Delete workers that ended, or whose lease expired, more than `older_than` seconds ago; return how many.

    A finished or waiting job may still refer to such a worker; finding it would mean reading all jobs.
    Nothing is lost, since every attempt holds the worker's name and host itself. A worker stays as long as
    its allocation has not ended as long ago: what an attempt has cost there is known by it alone.
    """
    past = func.now() - seconds(older_than)
    gone = func.coalesce(Worker.ended_at, Worker.lease_expires_at) < past
    counts = exists().where(
        Allocation.name == Worker.allocation, or_(Allocation.ended_at.is_(None), Allocation.ended_at >= past)
    )
    runs = exists().where(Job.worker_id == Worker.id, Job.state == State.RUNNING)
    chosen = (
        select(Worker.id)
        .where(gone, not_(runs), not_(counts))
        .order_by(Worker.id)
        .limit(limit)
        .with_for_update(of=Worker, skip_locked=True)
        .cte("chosen")
    )
    number = connection.execute(delete(Worker).where(Worker.id.in_(select(chosen.c.id)))).rowcount
    return _deleted(connection, number, older_than)


def forget_allocations(connection: Connection, older_than: float, limit: int) -> int:
    """Delete allocations that ended more than `older_than` seconds ago, unless they may turn out to live.

    Returns:
        How many were deleted, at most `limit`.
    """
    by_index(connection)
    past = func.now() - seconds(max(older_than, allocations.REMEMBERED))
    chosen = (
        select(Allocation.id)
        .join(Cluster, Cluster.name == Allocation.cluster)
        .where(Allocation.state == "ended", Allocation.ended_at < past)
        .limit(limit)
        .with_for_update(of=Allocation, skip_locked=True)
    )
    held = list(connection.scalars(chosen))
    gone = delete(Allocation).where(among(Allocation.id, held))
    return _deleted(connection, connection.execute(gone).rowcount if held else 0, older_than)


# What goes after the jobs, each by its own age; in this order, since each may be what holds the next.
FORGETS = (forget_workers, forget_allocations, subscriptions.forget, forget_gates, forget_environments)
