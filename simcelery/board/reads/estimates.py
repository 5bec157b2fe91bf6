"""What estimates are made from: how long the last successes ran, and what is unfinished."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Double, extract, func, select

from simcelery.board import sql
from simcelery.board.models import Job
from simcelery.board.reads.jobs import Filter
from simcelery.board.states import TERMINAL, State

NEWEST = 200  # successes of a workflow that are looked at


@dataclass(frozen=True)
class Usual:
    """How long the last successes of a workflow ran, in seconds: the median and the 90th percentile."""

    successes: int
    median: float
    p90: float


@dataclass(frozen=True)
class Unfinished:
    """Unfinished jobs of one workflow and queue that are in the same state.

    Attributes:
        due: of scheduled jobs, the seconds until the last of them is due.
    """

    workflow: str
    queue: str
    state: State
    count: int
    due: float = 0.0


def usual(connection: Connection, workflows: Iterable[str]) -> dict[str, Usual]:
    """How long jobs of these workflows usually take; workflows without any success are left out."""
    rows = sql.execute(connection, "usual_times", workflows=sorted(set(workflows)), newest=NEWEST)
    return {row.workflow: Usual(row.successes, row.median, row.p90) for row in rows}


def unfinished(connection: Connection, which: Filter) -> list[Unfinished]:
    """Those of the matching jobs that are not in a terminal state, in groups."""
    open_states = set(which.states or State) - TERMINAL
    if not open_states:
        return []
    columns = Job.workflow, Job.queue, Job.state
    last = func.max(Job.run_at).filter(Job.state == State.SCHEDULED)
    due = func.coalesce(extract("epoch", last - func.now()).cast(Double), 0.0)
    statement = (
        select(*columns, func.count().label("count"), due.label("due"))
        .where(*replace(which, states=sorted(open_states)).conditions())
        .group_by(*columns)
        .order_by(*columns)
    )
    return [
        Unfinished(**{**row._mapping, "state": State(row.state)}) for row in connection.execute(statement)
    ]
