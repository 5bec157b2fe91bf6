"""What the end of a job means for its dependents: they may start, or they never will.

Part of `transitions`: here, too, each change of a state is one guarded UPDATE. `settle` never waits for a
lock, and locks parents before dependents, each in the order of their ids, so it never blocks others.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    text,
    update,
)

from simcelery.board import sql
from simcelery.board.dependencies import first_dependent, up
from simcelery.board.models import Job
from simcelery.board.sql_helpers import among, by_index
from simcelery.board.states import UNSUCCESSFUL, State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.values import JobToPublish

# Edges that one look for jobs that were left blocked by mistake reads at most.
_EDGES = 10_000
# Characters of a parent's error that its descendants repeat.
_REASON = 500


class Settled(NamedTuple):
    """What one step of `settle` did.

    Attributes:
        failed: the ids that became upstream_failed.
        ready: the jobs that are pending now.
        more: whether there may be more to do.
    """

    failed: list[int]
    ready: list[JobToPublish]
    more: bool


def waits_for_parents() -> ColumnElement[bool]:
    """Blocked by a parent. What only its gate holds is no business of settle's: see `gates`."""
    return and_(Job.state == State.BLOCKED, Job.unmet > 0)


def ready() -> ColumnElement[str]:
    """The state of a job that waits for no parent."""
    return case((Job.run_at > func.now(), State.SCHEDULED), else_=State.PENDING)


def settle(connection: Connection, limit: int) -> Settled:
    """blocked → upstream_failed if a parent did not succeed; and pending | scheduled for those left blocked.

    One level of descendants, at most `limit` rows; call it again while there is more. Jobs are left blocked
    by a parent with very many dependents, and by what should not happen.
    """
    by_index(connection)
    found = connection.scalars(unsettled(limit)).all()
    listed, dependents = _dependents_of(connection, found, limit)
    if not dependents:
        dependents = _perhaps_forgotten(connection, limit)
    failed, pending = _tell(connection, dependents)
    told = _mark(connection, listed)
    return Settled(failed, pending, bool(failed or pending or (told and len(found) == limit)))


def unsettled(limit: int) -> Select[int]:
    """The first jobs that have ended and whose dependents have not all been told; locked."""
    return (
        select(Job.id)
        .where(_is_unsettled())
        .order_by(Job.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)  # a retry finds the dependents fallen, or not yet
    )


def _is_unsettled() -> ColumnElement[bool]:
    """The condition of the index jobs_unsettled."""
    never = and_(Job.settled_at.is_(None), Job.state != text("'succeeded'"))
    return and_(Job.finished_at.is_not(None), or_(Job.settled_at < Job.finished_at, never))


def _dependents_of(
    connection: Connection, parents: Sequence[int], limit: int
) -> tuple[dict[int, list[int]], list[int]]:
    """At most `limit` dependents to be told now; and the parents that have no others, each with its own."""
    each: dict[int, list[int]] = {parent: [] for parent in parents}
    # Enough for those that are told now, and for the one with which there would be too many.
    most = 2 * limit + 2
    asked = {"parents": list(parents), "each": limit + 1, "most": most}
    edges = sql.execute(connection, "dependents_of_each", **asked).all()
    for edge in edges:
        each[edge.id].append(edge.job_id)
    cut_at = edges[-1].id if len(edges) == most else None
    listed: dict[int, list[int]] = {}
    dependents: list[int] = []
    for parent, found in each.items():
        if parent == cut_at or len(dependents) + min(len(found), limit) > limit:
            break
        if len(found) > limit:  # its first ones may have been told before
            found = list(sql.execute(connection, "blocked_dependents", parent=parent, most=limit).scalars())
            if found:
                return listed, [*dependents, *found]
        listed[parent] = found
        dependents += found
    return listed, dependents


def _perhaps_forgotten(connection: Connection, limit: int) -> list[int]:
    """Blocked jobs without an unfinished parent: recorded after a parent had failed, or by mistake.

    Looks at some of the blocked jobs, others each time, since reading all of them would take too long.
    """
    last = connection.scalar(select(func.max(Job.id)).where(waits_for_parents()))
    if last is None:
        return []
    start = random.randint(0, last)
    some: list[Any] = []
    for where in (Job.id >= start, Job.id < start):
        blocked = select(Job.id, Job.unmet).where(waits_for_parents(), where)
        some += connection.execute(blocked.order_by(Job.id).limit(limit - len(some)))
    budget = float(_EDGES)
    looked_at = []
    for number, unmet in some:
        # Who waits for more than that is looked at now and then.
        if unmet > budget and unmet * random.random() > budget:
            continue
        looked_at.append(number)
        budget = max(0.0, budget - unmet)
    parent, edge = Job.__table__.alias(), up(looked_at)
    left = select(edge.c.job_id).join(parent, parent.c.id == edge.c.parent_id).group_by(edge.c.job_id)
    over = func.bool_and(parent.c.state == State.SUCCEEDED)
    fallen = func.bool_or(parent.c.state.in_(UNSUCCESSFUL))
    return list(connection.scalars(left.having(or_(over, fallen))))


def _tell(connection: Connection, ids: Iterable[int]) -> tuple[list[int], list[JobToPublish]]:
    """Count again how many parents of these blocked jobs have not succeeded, and act accordingly."""
    blocked = select(Job.id).where(among(Job.id, ids), waits_for_parents())
    dependents = list(connection.scalars(blocked))
    if not dependents:
        return [], []
    # Held, so that a retry of one finds its dependents fallen, or comes before them.
    culprits = sql.execute(connection, "unsuccessful_parents", ids=dependents).scalars().all()
    held = connection.scalars(blocked.order_by(Job.id).with_for_update(skip_locked=True)).all()
    rows = connection.execute(_recount(held, culprits)).all()
    failed = [row.id for row in rows if row.state == State.UPSTREAM_FAILED]
    return failed, [job_to_publish(row._mapping) for row in rows if row.state == State.PENDING]


def _recount(ids: Sequence[int], culprits: Sequence[int]) -> Any:
    parent, edge = Job.__table__.alias(), up(ids)
    fallen = among(edge.c.parent_id, culprits)
    now = (
        select(
            edge.c.job_id,
            func.count().filter(parent.c.state != State.SUCCEEDED).label("unmet"),
            func.bool_or(fallen).label("fallen"),
            func.min(edge.c.parent_id).filter(fallen).label("culprit"),
        )
        .join(parent, parent.c.id == edge.c.parent_id)
        .group_by(edge.c.job_id)
        .subquery()
    )
    state = case((now.c.fallen, State.UPSTREAM_FAILED), (now.c.unmet > 0, State.BLOCKED), else_=ready())
    without_dependents = first_dependent(Job.id).is_(None)
    # With `|| ''` it is not looked up in an index, which may seem to hold few: the ids are.
    still_blocked = Job.state.concat("") == State.BLOCKED
    return (
        update(Job)
        .where(Job.id == now.c.job_id, still_blocked)
        .values(
            unmet=now.c.unmet,
            state=state,
            finished_at=case((now.c.fallen, func.now())),
            # They were locked before this statement began, so no dependent of theirs is unseen.
            settled_at=case((and_(now.c.fallen, without_dependents), func.now())),
            error_type=case((now.c.fallen, literal("UpstreamFailedError"))),
            error_message=case((now.c.fallen, _why_fallen(now.c.culprit))),
        )
        .returning(*TO_PUBLISH, Job.state)
    )


def _why_fallen(culprit: ColumnElement[int]) -> Any:
    """What went wrong at the original job, and what to do; an upstream_failed parent already has it."""
    parent = Job.__table__.alias().c
    reason = func.concat_ws(": ", parent.error_type, func.left(parent.error_message, _REASON))
    ended = case((parent.state == State.CANCELLED, "was cancelled"), else_=func.concat("failed: ", reason))
    root = func.concat("job ", parent.id, " (", parent.workflow, ") ", ended)
    told = func.concat(
        root, "; to run it again, with all jobs that depend on it: simcelery retry ", parent.id
    )
    fell = parent.state == State.UPSTREAM_FAILED
    message = case((fell, parent.error_message), else_=told)
    return select(message).where(parent.id == culprit).scalar_subquery()


def _mark(connection: Connection, listed: Mapping[int, Sequence[int]]) -> int:
    """Note which of these parents have no blocked dependent left; return how many."""
    theirs = [dependent for dependents in listed.values() for dependent in dependents]
    left = select(Job.id).where(among(Job.id, theirs), waits_for_parents())
    blocked = set(connection.scalars(left)) if theirs else set()
    told = [parent for parent, dependents in listed.items() if blocked.isdisjoint(dependents)]
    return connection.execute(
        update(Job).where(among(Job.id, told)).values(settled_at=func.greatest(func.now(), Job.finished_at))
    ).rowcount
