"""What keeps many jobs from running, counted: for ``explain`` of more than one job."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from simcelery.board import sql
from simcelery.board.models import Job
from simcelery.board.reads.jobs import Filter
from simcelery.board.states import State
from simcelery.board.transitions.settle import waits_for_parents

# So many jobs that wait for others are looked at, the oldest first: each has parents that have to be read.
LOOKED_AT = 20_000
NAMED = 100  # parents whose ids are told


@dataclass(frozen=True)
class Alike:
    """Jobs of one workflow and queue that are in the same state.

    Attributes:
        again: whether they have had an attempt.
        next_at: of scheduled jobs, the first time that comes.
    """

    state: State
    workflow: str
    queue: str
    count: int
    again: bool
    next_at: dt.datetime | None


@dataclass(frozen=True)
class HeldUp:
    """Jobs that wait for their parents, or that will not run because of them.

    Attributes:
        fallen: how many have a parent that did not succeed.
        culprits: the jobs at the root of that, which failed or were cancelled: the first 100 ids.
        open: how many wait only for parents that have not finished.
        parents: ids of those parents, the first 100.
        looked_at: how many jobs this is about; others were not looked at.
    """

    fallen: int = 0
    culprits: tuple[int, ...] = ()
    open: int = 0
    parents: tuple[int, ...] = ()
    looked_at: int = 0


def alike(connection: Connection, which: Filter) -> list[Alike]:
    """The jobs that match, by state, workflow, queue and whether they have run; the most numerous first."""
    columns = Job.state, Job.workflow, Job.queue, (Job.attempt > 0).label("again")
    number = func.count()
    statement = (
        select(
            *columns,
            number.label("count"),
            func.min(Job.run_at).filter(Job.state == State.SCHEDULED).label("next_at"),
        )
        .where(*which.conditions())
        .group_by(*columns)
        .order_by(number.desc(), *columns)
    )
    return [
        Alike(**{**row._mapping, "state": State(row.state)}) for row in connection.execute(statement).all()
    ]


def held_up(connection: Connection, which: Filter) -> HeldUp:
    """What the matching jobs that are blocked or upstream_failed wait for, or have waited for."""
    waits = or_(Job.state == State.UPSTREAM_FAILED, waits_for_parents())
    ids = select(Job.id).where(*which.conditions(), waits).order_by(Job.id).limit(LOOKED_AT)
    jobs = list(connection.scalars(ids))
    if not jobs:
        return HeldUp()
    row = sql.execute(connection, "held_up", jobs=jobs, named=NAMED).one()
    return HeldUp(row.fallen, tuple(row.culprits or ()), row.open, tuple(row.parents or ()), len(jobs))
