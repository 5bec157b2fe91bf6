"""Retry jobs that failed or were cancelled, with their descendants that became upstream_failed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Uuid,
    and_,
    any_,
    case,
    exists,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board import fingerprints, interventions, sql, subscriptions
from simcelery.board.batches import ROWS
from simcelery.board.dependencies import number_unmet, up
from simcelery.board.leases import is_worker
from simcelery.board.models import Attempt, Dependency, Job, Worker
from simcelery.board.sql_helpers import among, by_index
from simcelery.board.states import UNSUCCESSFUL, Kind, Outcome, State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.transitions import continuing
from simcelery.board.transitions.finish import Guard
from simcelery.board.transitions.revise import begin_anew, revise
from simcelery.board.values import FinishedJob, Registration, Revision
from simcelery.errors import StateError
from simcelery.failpoints import failpoint

# What the end of a job wrote, and what was done to bring it there. Only a success writes a result.
_CLEARED = (
    "finished_at",
    "cancel_requested_at",
    "error_type",
    "error_message",
    "published_at",
    "run_at",
    "settled_at",
)


def retry(
    connection: Connection,
    ids: Iterable[int],
    *,
    with_parents: bool = False,
    revisions: Sequence[Revision] = (),
    by: str,
    from_scratch: bool = False,
) -> list[FinishedJob]:
    """failed | cancelled | upstream_failed → pending | blocked, with their upstream_failed descendants.

    Clears the cancel, the error and both counters, and keeps the attempt number. A descendant
    with another parent that did not succeed keeps its state.

    Parameters:
        revisions: what changes in the parameters of some of them; see `revise`.
        by: who wants these.
        from_scratch: forget the steps and checkpoints of the jobs, and of parents that are retried with them.

    Raises:
        StateError: a parent has not succeeded and is not retried with it; the message names the parent.
        As `revise`.
    """
    by_index(connection)
    wanted = set(ids)
    anew = wanted if from_scratch else {one.job_id for one in revisions if one.changes}
    if anew:
        continuing.forget(connection, anew)
    if revisions:
        fingerprints.hold_searches(connection)
        parents_to_be = {parent for one in revisions for parent in one.added}
        _lock_family(connection, sorted(_with_parents(connection, wanted | parents_to_be, with_parents)))
        failpoint("revise_locked")
        revise(connection, revisions, by)
    wanted = _with_parents(connection, wanted, with_parents)
    if parents := _unsuccessful_parents(connection, wanted):
        dependent, culprit = parents[0]
        raise StateError(
            f"job {dependent} depends on job {culprit}, which did not succeed: "
            f"retry {culprit}, or add --with-parents"
        )
    back = _send_back(connection, wanted, Job.state.in_(UNSUCCESSFUL), {"failures": 0, "losses": 0})
    interventions.note(connection, "retry", [job.id for job in back], by)
    if from_scratch:
        begin_anew(connection, wanted.intersection(job.id for job in back), by)
    return back


def _with_parents(connection: Connection, ids: set[int], wanted: bool) -> set[int]:
    """The jobs, and where that is wanted all that did not succeed and keep one of them from running.

    A job in which one of these had gone on belongs to it, wanted or not.
    """
    found = set(ids)
    while parents := _unsuccessful_parents(connection, found, None if wanted else Kind.THEN):
        found.update(parent for _, parent in parents)
    return found


def hand_back(
    connection: Connection, task_ids: Iterable[uuid.UUID], me: Registration, limit: int = ROWS
) -> list[FinishedJob]:
    """failed | scheduled → pending | blocked for jobs that failed last on a worker in quarantine.

    The failure is not counted, but the attempt is. Descendants that became upstream_failed are retried as
    well. One waits again for the end of a job that has been handed back, too.

    Parameters:
        limit: at most this many jobs, those that failed last.
    """
    by_index(connection)
    ended = Attempt.__table__.alias().c
    guard = and_(
        Job.state.in_([State.FAILED, State.SCHEDULED]),
        Job.worker_id == me.worker_id,
        exists().where(ended.job_id == Job.id, ended.attempt == Job.attempt, ended.outcome == Outcome.FAILED),
        exists().where(is_worker(me), Worker.quarantined_at.is_not(None)),
    )
    wanted: Any = literal(list(task_ids), ARRAY(Uuid))
    last = connection.scalars(
        select(Job.id)
        .join(Attempt, and_(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt))
        .where(Job.task_id == any_(wanted), guard)
        .order_by(Attempt.finished_at.desc())
        .limit(limit)
    ).all()
    back = _send_back(connection, last, guard, {"failures": Job.failures - 1})
    pending = [job.id for job in back if job.state is State.PENDING]
    rows = connection.execute(select(*TO_PUBLISH).where(among(Job.id, pending)))
    messages = {row.id: job_to_publish(row._mapping) for row in rows}
    return [replace(job, again=messages.get(job.id)) for job in back]


def _send_back(
    connection: Connection, ids: Iterable[int], guard: Guard, counters: dict[str, Any]
) -> list[FinishedJob]:
    """Retry jobs, and then, level by level, their upstream_failed descendants."""
    level = sorted(ids)
    _lock_family(connection, level)
    revived = _revive(connection, level, guard, counters)
    found = revived
    while level := _fallen_dependents(connection, [row.id for row in found]):
        found = _revive(connection, level, Job.state.in_(UNSUCCESSFUL), {"failures": 0, "losses": 0})
        revived = [*revived, *found]
    _wait_again(connection, [row.id for row in revived])
    continuing.take_over(connection, [row.id for row in revived if row.state is State.BLOCKED])
    subscriptions.reopen(connection, [row.id for row in revived])
    return revived


def _wait_again(connection: Connection, parents: Sequence[int]) -> None:
    """Let those that wait for the end of these wait for the next one, unless they have been let go."""

    def blocked() -> list[int]:
        return list(sql.execute(connection, "ends_waited_for", ids=list(parents)).scalars())

    if found := blocked():
        _lock(connection, select(Job.id).where(among(Job.id, found)))  # of the newest not all are
        connection.execute(update(Job).where(among(Job.id, blocked())).values(unmet=_unmet()))


def _unmet() -> ColumnElement[int]:
    """How many parents a job has to wait for, as they are now."""
    parent, edge = Job.__table__.alias(), Dependency.__table__.alias()
    return (
        select(number_unmet(edge, parent))
        .select_from(edge)
        .join(parent, parent.c.id == edge.c.parent_id)
        .where(edge.c.job_id == Job.id)
        .correlate(Job)
        .scalar_subquery()
    )


def _lock_family(connection: Connection, ids: Sequence[int]) -> None:
    """Lock the jobs, their upstream_failed descendants, all their parents, and those that wait for their end.

    In the order of their ids.

    Locking level by level would not do: a dependent of one job may have a smaller id than the next job.
    """
    family = select(Job.id).where(among(Job.id, ids)).cte("family", recursive=True)
    edge = select(Dependency.job_id).where(Dependency.parent_id == family.c.id).offset(0).lateral("edge")
    dependent = _job(edge.c.job_id, Job.state == State.UPSTREAM_FAILED)
    family = family.union(
        select(dependent.c.id).select_from(family.join(edge, true()).join(dependent, true()))
    )
    members = select(family.c.id)
    parents = select(Dependency.parent_id).where(Dependency.job_id.in_(members))
    ends = select(Dependency.job_id).where(Dependency.parent_id == family.c.id, Dependency.kind == Kind.ANY)
    end = ends.offset(0).lateral("of_its_end")
    waiting = _job(end.c.job_id, Job.state == State.BLOCKED)
    wait_for_end = select(waiting.c.id).select_from(family.join(end, true()).join(waiting, true()))
    _lock(connection, members.union(parents, wait_for_end))


def _lock(connection: Connection, ids: Any) -> None:
    connection.execute(select(Job.id).where(Job.id.in_(ids)).order_by(Job.id).with_for_update())


def _unsuccessful_parents(
    connection: Connection, ids: set[int], kind: Kind | None = None
) -> list[tuple[int, int]]:
    """Pairs (job, parent) of a job that is retried and a parent that did not succeed and is not retried.

    Parameters:
        kind: only parents of this kind; None: all that must succeed.
    """
    edge = up(ids)
    parent = _job(edge.c.parent_id, Job.state.in_(UNSUCCESSFUL))
    dependent = _job(edge.c.job_id, Job.state.in_(UNSUCCESSFUL))
    rows = connection.execute(
        select(edge.c.job_id, edge.c.parent_id)
        .select_from(edge.join(parent, true()).join(dependent, true()))
        .where(
            ~among(edge.c.parent_id, ids),
            edge.c.kind.is_distinct_from(Kind.ANY) if kind is None else edge.c.kind == kind,
        )
        .order_by(edge.c.job_id, edge.c.parent_id)
    )
    return [(row.job_id, row.parent_id) for row in rows]


def _revive(
    connection: Connection, ids: Sequence[int], guard: Guard, counters: dict[str, Any]
) -> list[FinishedJob]:
    """Retry jobs. Their parents are locked with them, so that none can finish while they are counted."""
    _lock(connection, select(Job.id).where(among(Job.id, ids)).union(select(up(ids).c.parent_id)))
    unmet = _unmet()
    rows = connection.execute(
        update(Job)
        .where(among(Job.id, ids), guard)
        .values(
            **counters,
            **dict.fromkeys(_CLEARED),
            publish_count=0,
            unmet=unmet,
            state=case((unmet > 0, State.BLOCKED), else_=State.PENDING),
        )
        .returning(Job.id, Job.task_id, Job.state, Job.attempt)
    )
    return [FinishedJob(row.id, row.task_id, State(row.state), row.attempt) for row in rows]


def _fallen_dependents(connection: Connection, ids: Sequence[int]) -> list[int]:
    """The upstream_failed dependents of these jobs that no other parent holds back."""
    return list(sql.execute(connection, "fallen_dependents", ids=list(ids)).scalars())


def _job(number: ColumnElement[int], guard: Guard) -> Any:
    """The job of that id, if the guard lets it through; see `by_index`."""
    return select(Job.id).where(Job.id == number, guard).offset(0).lateral()
