"""What the end of a job means for its dependents: they may start, or they never will.

Part of `transitions`: here, too, each change of a state is one guarded UPDATE. `settle` never waits for a
lock, and locks parents before dependents, each in the order of their ids, so it never blocks others.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
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
from simcelery.board.dependencies import first_dependent, is_met, number_unmet, up
from simcelery.board.models import Job
from simcelery.board.sql_helpers import among, by_index
from simcelery.board.states import UNSUCCESSFUL, Kind, State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.values import JobToPublish

# Edges that one look for jobs that were left blocked by mistake reads at most.
_EDGES = 10_000
_TIME = DateTime(timezone=True)
# Characters of a parent's error that its descendants repeat.
_REASON = 500


class Place(NamedTuple):
    """How far a walk is with a parent that has more dependents than one step can tell.

    Attributes:
        after: the last dependent that was told.
        all_told: whether none of these was held by others.
        left: such parents that the walk is through with, and that the next one has to tell of again.
    """

    parent: int = 0
    after: int = 0
    all_told: bool = True
    left: frozenset[int] = frozenset()


class Settled(NamedTuple):
    """What one step of `settle` did.

    Attributes:
        failed: the ids that became upstream_failed.
        ready: the jobs that are pending now.
        more: whether there may be more to do, by a step that is given the `place`.
        succeeded: the ids of those that took the result of the job in which they had gone on.
    """

    failed: list[int]
    ready: list[JobToPublish]
    more: bool
    place: Place
    succeeded: list[int]


def waits_for_parents() -> ColumnElement[bool]:
    """Blocked by a parent. What only its gate holds is no business of settle's: see `gates`."""
    return and_(Job.state == State.BLOCKED, Job.unmet > 0)


def ready() -> ColumnElement[str]:
    """The state of a job that waits for no parent."""
    return case((Job.run_at > func.now(), State.SCHEDULED), else_=State.PENDING)


def settle(
    connection: Connection, limit: int, place: Place | None = None, only: Collection[int] | None = None
) -> Settled:
    """blocked → upstream_failed if a parent did not succeed; and pending | scheduled for those left blocked.

    And → succeeded for a job that has gone on in another one, which has succeeded: it takes its result.

    One level of descendants, at most `limit` rows; call it again while there is more. Jobs are left blocked
    by a parent with very many dependents, and by what should not happen.

    Parameters:
        place: what the step before returned, so that none looks again at what it told.
        only: the jobs whose dependents are to be told; None: those of all.
    """
    by_index(connection)
    place = place or Place()
    wanted = _all_unsettled(limit) if only is None else unsettled(limit).where(among(Job.id, only))
    found = connection.scalars(wanted).all()
    listed, dependents, many = _dependents_of(connection, found, limit, place)
    if not dependents and only is None:
        dependents = _perhaps_forgotten(connection, limit)
    told = _tell(connection, dependents)
    over = [parent for parent, theirs in listed.items() if told.passed_over.isdisjoint(theirs)]
    more = bool(told.failed or told.ready or told.succeeded or (over and len(found) == limit))
    if many is not None:
        more = True
        place = many._replace(all_told=many.all_told and told.passed_over.isdisjoint(dependents))
        if len(dependents) < limit:  # these were its last
            if place.all_told:
                over.append(place.parent)
            place = Place(left=place.left if place.all_told else place.left | {place.parent})
    _mark(connection, over)
    return Settled(told.failed, told.ready, more, place, told.succeeded)


@lru_cache(maxsize=16)  # every worker asks it again and again
def _all_unsettled(limit: int) -> Select[int]:
    return unsettled(limit)


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
    connection: Connection, parents: Sequence[int], limit: int, place: Place
) -> tuple[dict[int, list[int]], list[int], Place | None]:
    """At most `limit` dependents to be told now.

    Returns:
        The parents that have no others, each with its own; the dependents; and the place in those of a parent
        that has too many, if they are its own.
    """
    each: dict[int, list[int]] = {parent: [] for parent in parents if parent not in place.left}
    if not each:
        return {}, [], None
    # Enough for those that are told now, and for the one with which there would be too many: of whoever comes
    # after that, nothing is asked.
    asked = {"parents": list(each), "each": limit + 1, "most": 2 * limit + 2}
    for edge in sql.execute(connection, "dependents_of_each", **asked):
        each[edge.id].append(edge.job_id)
    listed: dict[int, list[int]] = {}
    dependents: list[int] = []
    for parent, found in each.items():
        if len(found) > limit and not dependents:
            here = place if place.parent == parent else Place(parent, left=place.left)
            asked = {"parent": parent, "after": here.after, "most": limit}
            dependents = list(sql.execute(connection, "blocked_dependents", **asked).scalars())
            return listed, dependents, here._replace(after=max(dependents, default=here.after))
        if len(dependents) + len(found) > limit:
            break
        listed[parent] = found
        dependents += found
    return listed, dependents, None


def _perhaps_forgotten(connection: Connection, limit: int) -> list[int]:
    """Blocked jobs without an unfinished parent: recorded after a parent had failed, or by mistake.

    Looks at some of the blocked jobs, others each time, since reading all of them would take too long.
    """
    last = connection.scalar(_last_blocked())
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
    over = func.bool_and(is_met(edge, parent))
    fallen = func.bool_or(and_(_is_needed(edge), parent.c.state.in_(UNSUCCESSFUL)))
    has_gone_on = func.bool_or(_has_gone_on(edge, parent))
    return list(connection.scalars(left.having(or_(over, fallen, has_gone_on))))


@cache  # as above
def _last_blocked() -> Select[int]:
    return select(func.max(Job.id)).where(waits_for_parents())


def _is_needed(edge: FromClause) -> ColumnElement[bool]:
    """Whether the job will not succeed unless this parent does."""
    return edge.c.kind.is_distinct_from(Kind.ANY)


def _has_gone_on(edge: FromClause, parent: FromClause) -> ColumnElement[bool]:
    """Whether this is the job in which another one goes on, and it has succeeded."""
    return and_(edge.c.kind == Kind.THEN, parent.c.state == State.SUCCEEDED)


class _Told(NamedTuple):
    """What became of dependents.

    Attributes:
        succeeded: those that took the result of another, so that their own dependents are to be told.
        passed_over: those that are still blocked since others held them.
    """

    failed: list[int]
    ready: list[JobToPublish]
    succeeded: list[int]
    passed_over: frozenset[int]


def _tell(connection: Connection, ids: Iterable[int]) -> _Told:
    """Count again how many parents these blocked jobs have to wait for, and act accordingly.

    Who waits for the end of a parent may see one that is just being retried: that retry counts it again.
    """
    ids = list(ids)
    blocked = select(Job.id).where(among(Job.id, ids), _is_still_blocked(), Job.unmet > 0)
    dependents = frozenset(connection.scalars(blocked) if ids else ())
    if not dependents:
        return _Told([], [], [], dependents)
    # Held, so that a retry of one finds its dependents fallen, or comes before them.
    culprits = sql.execute(connection, "unsuccessful_parents", ids=list(dependents)).scalars().all()
    held = connection.scalars(blocked.order_by(Job.id).with_for_update(skip_locked=True)).all()
    rows = connection.execute(_recount(held, culprits)).all()
    failed = [row.id for row in rows if row.state == State.UPSTREAM_FAILED]
    ready = [job_to_publish(row._mapping) for row in rows if row.state == State.PENDING]
    succeeded = [row.id for row in rows if row.state == State.SUCCEEDED]
    return _Told(failed, ready, succeeded, dependents.difference(held))


def _recount(ids: Sequence[int], culprits: Sequence[int]) -> Any:
    parent, edge = Job.__table__.alias(), up(ids)
    fallen = and_(_is_needed(edge), among(edge.c.parent_id, culprits))
    now = (
        select(
            edge.c.job_id,
            number_unmet(edge, parent).label("unmet"),
            func.bool_or(_has_gone_on(edge, parent)).label("over"),
            func.max(edge.c.parent_id).filter(edge.c.kind == Kind.THEN).label("goes_on_in"),
            func.bool_or(fallen).label("fallen"),
            func.min(edge.c.parent_id).filter(fallen).label("culprit"),
        )
        .join(parent, parent.c.id == edge.c.parent_id)
        .group_by(edge.c.job_id)
        .subquery()
    )
    state = case(
        (now.c.fallen, State.UPSTREAM_FAILED),
        (now.c.over, State.SUCCEEDED),
        (now.c.unmet > 0, State.BLOCKED),
        else_=ready(),
    )
    ended = or_(now.c.fallen, now.c.over)
    last = Job.__table__.alias().c
    without_dependents = first_dependent(Job.id).is_(None)
    return (
        update(Job)
        .where(Job.id == now.c.job_id, _is_still_blocked())
        .values(
            unmet=case((now.c.over, 0), else_=now.c.unmet),
            state=state,
            finished_at=case((ended, func.now())),
            # They were locked before this statement began, so no dependent of theirs is unseen.
            settled_at=case(
                (and_(ended, without_dependents), func.now()), (now.c.over, literal("epoch", _TIME))
            ),
            result=select(last.result).where(last.id == now.c.goes_on_in, now.c.over).scalar_subquery(),
            error_type=case((now.c.fallen, literal("UpstreamFailedError"))),
            error_message=case((now.c.fallen, _why_fallen(now.c.culprit))),
        )
        .returning(*TO_PUBLISH, Job.state)
    )


def _is_still_blocked() -> ColumnElement[bool]:
    """Asked of jobs whose ids are known: with `|| ''` no index is read that may seem to hold few."""
    return Job.state.concat("") == State.BLOCKED


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


def _mark(connection: Connection, parents: Sequence[int]) -> None:
    """Note that all dependents of these parents have been told."""
    if not parents:
        return
    connection.execute(
        update(Job)
        .where(among(Job.id, parents))
        .values(settled_at=func.greatest(func.now(), Job.finished_at))
    )
