"""What estimates are made from: how long the last successes ran, and what is unfinished."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from simcelery.board import sql
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.gates import any_closed
from simcelery.board.reads.rules import HELD
from simcelery.board.sql import Reader
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


def usual(connection: Reader, workflows: Iterable[str]) -> dict[str, Usual]:
    """How long jobs of these workflows usually take; workflows without any success are left out."""
    rows = sql.execute(connection, "usual_times", workflows=sorted(set(workflows)), newest=NEWEST)
    return {row.workflow: Usual(row.successes, row.median, row.p90) for row in rows}


def unfinished(connection: Reader, which: Filter) -> list[Unfinished]:
    """Those of the matching jobs that are neither in a terminal state nor held, in groups."""
    open_states = set(which.states or State) - TERMINAL
    if not open_states:
        return []
    wanted = replace(which, states=sorted(open_states)).clause()
    held = f"({HELD}) IS NOT TRUE" if any_closed(connection) else "true"
    rows = connection.exec_driver_sql(
        "SELECT jobs.workflow, jobs.queue, jobs.state, count(*) AS number, coalesce(seconds_between(now(), "
        "max(jobs.run_at) FILTER (WHERE jobs.state = 'scheduled')), 0.0) AS due "
        f"FROM jobs WHERE {wanted.text} AND {held} GROUP BY jobs.workflow, jobs.queue, jobs.state "
        "ORDER BY jobs.workflow, jobs.queue, jobs.state",
        wanted.values,
    )
    return [Unfinished(row.workflow, row.queue, State(row.state), row.number, row.due) for row in rows]
