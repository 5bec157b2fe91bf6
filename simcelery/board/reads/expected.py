"""How long jobs are expected to take, by what workers go by whose allocation ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from simcelery.board import sql
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.rules import CORES
from simcelery.board.sql import Reader


@dataclass(frozen=True)
class Expected:
    """How long a job is expected to take.

    Attributes:
        tried_from: how long a worker must last for it to be tried there as soon as that one begins.
        basis: who says so: its time request, the successes with its tags or of its workflow, its time limit,
            or an attempt of its own that the end of an allocation cut short.
        successes: from how many it was learned.
    """

    seconds: float
    tried_from: float
    basis: Literal["request", "tags", "workflow", "limit", "attempt"]
    successes: int | None = None


def expected(connection: Reader, job_id: int) -> Expected | None:
    """How long a job is expected to take; None: nobody knows."""
    for row in sql.execute(connection, "expected", id=job_id):
        if row.seconds is not None:
            return Expected(row.seconds, row.tried_from, row.basis, row.successes)
    return None


class Outlasting(NamedTuple):
    """Of the first pending jobs of a queue and workflow, those that no allocation is long enough for.

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
    """Which of the first jobs will not begin in an allocation of the seconds given for queue and workflow."""
    if not lanes:
        return []
    queues, workflows, longest = (list(each) for each in zip(*lanes, strict=True))
    rows = sql.execute(connection, "outlasting", queues=queues, workflows=workflows, longest=longest)
    return [Outlasting(row.queue, row.workflow, row.number, row.first, row.seconds) for row in rows]


def pending_lanes(connection: Reader) -> list[tuple[str, str]]:
    """The queues and workflows of which jobs are pending."""
    rows = connection.exec_driver_sql("SELECT queue, workflow FROM pending_lanes() ORDER BY queue, workflow")
    return [(row.queue, row.workflow) for row in rows]


class Known(NamedTuple):
    """What is known of how long the jobs of a workflow take: nine of ten took no longer."""

    p90: float
    successes: int


def known(connection: Reader, workflows: Iterable[str]) -> dict[str, Known]:
    """What workers go by, by workflow; without those of which nothing is known."""
    rows = connection.exec_driver_sql(
        "SELECT workflow, p90, successes FROM durations "
        "WHERE workflow = ANY(%(names)s::text[]) AND tags = '{}' AND p90 IS NOT NULL",
        {"names": sorted(set(workflows))},
    )
    return {row.workflow: Known(row.p90, row.successes) for row in rows}


class Learned(NamedTuple):
    """How long the last successes took, of a workflow; `tagged`: of those with the same tags."""

    median: float
    p90: float
    successes: int
    tagged: bool


def learned(connection: Reader, job_id: int) -> Learned | None:
    """How long jobs like this one took; None: too few have succeeded."""
    rows = connection.exec_driver_sql(
        "SELECT durations.median, durations.p90, durations.successes, durations.tags <> '{}' AS tagged "
        "FROM jobs JOIN durations ON durations.workflow = jobs.workflow "
        "AND (durations.tags = jobs.tags OR durations.tags = '{}') "
        "WHERE jobs.id = %(id)s AND durations.p90 < 'Infinity' AND durations.median < 'Infinity' "
        "ORDER BY tagged DESC LIMIT 1",
        {"id": job_id},
    )
    return next((Learned(*row) for row in rows), None)


class Lost(NamedTuple):
    """What attempts have cost that ended because their worker's allocation did.

    Attributes:
        saved: how many of them had saved their work.
    """

    attempts: int
    core_seconds: float
    saved: int = 0


def lost_to_walltime(connection: Reader, which: Filter, window: float) -> Lost:
    """That of the attempts of matching jobs that ended in the last `window` seconds."""
    wanted = which.clause()
    statement = sql.statement("lost_to_walltime").replace("/* wanted */", wanted.text)
    statement = statement.replace("/* cores */", CORES)
    [row] = connection.exec_driver_sql(statement, {**wanted.values, "window": window})
    return Lost(row.attempts, row.seconds, row.saved)
