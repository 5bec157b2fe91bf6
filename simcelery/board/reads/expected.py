"""How long jobs are expected to take, by what workers go by whose allocation ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simcelery.board import sql
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.rules import CORES
from simcelery.board.sql import Reader


@dataclass(frozen=True)
class Expected:
    """How long a job is expected to take.

    Attributes:
        requested: somebody has said so.
        successes: from how many of its workflow it was learned; None: it was not, and its time limit says it.
        alike: whether only those with its tags counted.
    """

    seconds: float
    requested: bool
    successes: int | None = None
    alike: bool = False


def expected(connection: Reader, job_id: int) -> Expected | None:
    """How long a job is expected to take; None: nobody knows."""
    for row in sql.execute(connection, "expected", id=job_id):
        if row.seconds is not None:
            learned = not row.requested and row.p90 is not None and row.p90 == row.seconds
            return Expected(
                row.seconds, row.requested, row.successes if learned else None, learned and row.alike
            )
    return None


class Outlasting(NamedTuple):
    """Of the first pending jobs of a queue and workflow, those that take longer than any allocation lasts.

    Attributes:
        first: the id of the first of them.
        seconds: how long that one takes.
    """

    queue: str
    workflow: str
    number: int
    first: int
    seconds: float


def outlasting(connection: Reader, lanes: Sequence[tuple[str, str, float]]) -> list[Outlasting]:
    """Which of the jobs that come first take longer than the seconds given for their queue and workflow."""
    if not lanes:
        return []
    queues, workflows, longest = (list(each) for each in zip(*lanes, strict=True))
    rows = sql.execute(connection, "outlasting", queues=queues, workflows=workflows, longest=longest)
    return [Outlasting(row.queue, row.workflow, row.number, row.first, row.seconds) for row in rows]


class Known(NamedTuple):
    """What is known of how long the jobs of a workflow take: nine of ten took no longer."""

    p90: float
    successes: int


def known(connection: Reader, workflows: Iterable[str]) -> dict[str, Known]:
    """What workers go by, by workflow; without those of which nothing is known."""
    rows = connection.exec_driver_sql(
        "SELECT workflow, p90, successes FROM durations "
        "WHERE workflow = ANY(%(names)s::text[]) AND tags = '{}'",
        {"names": sorted(set(workflows))},
    )
    return {row.workflow: Known(row.p90, row.successes) for row in rows}


class Lost(NamedTuple):
    """What attempts have cost that ended because their worker's allocation did."""

    attempts: int
    core_seconds: float


def lost_to_walltime(connection: Reader, which: Filter, window: float) -> Lost:
    """That of the attempts of matching jobs that ended in the last `window` seconds."""
    wanted = which.clause()
    statement = sql.statement("lost_to_walltime").replace("/* wanted */", wanted.text)
    statement = statement.replace("/* cores */", CORES)
    [row] = connection.exec_driver_sql(statement, {**wanted.values, "window": window})
    return Lost(row.attempts, row.seconds)
