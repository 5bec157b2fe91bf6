"""Summaries of many jobs: how fast they finish, how long they take, why they fail.

Each statement reads a limited part of the board through an index, however many jobs there are.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from simcelery.board import sql
from simcelery.board.reads.alike import kind_of_error
from simcelery.board.reads.filters import Clause, Filter
from simcelery.board.sql import Reader
from simcelery.board.states import UNSUCCESSFUL, State


@dataclass(frozen=True)
class Interval:
    """How many jobs finished in the interval that begins at `start`."""

    start: dt.datetime
    finished: int


@dataclass(frozen=True)
class Period:
    """The time during which the jobs that ended in a window ran: from the first start to the last end.

    Attributes:
        until: the last end, or now if other jobs are still `running`.
    """

    start: dt.datetime
    until: dt.datetime
    running: bool

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.until - self.start).total_seconds()


@dataclass(frozen=True)
class Spread:
    """Median, 90th percentile and maximum, in seconds."""

    median: float
    p90: float
    max: float


@dataclass(frozen=True)
class Times:
    """The times of the newest finished jobs of a workflow.

    Attributes:
        ended: how many, by state.
        waiting: from the submission, or the requested time, to the start, of jobs with a single attempt;
            None: there are none.
        running: the last attempt of jobs that succeeded or failed.
    """

    workflow: str
    ended: dict[str, int]
    waiting: Spread | None
    running: Spread | None

    @property
    def finished(self) -> int:
        """How many are counted here."""
        return sum(self.ended.values())


@dataclass(frozen=True)
class ErrorGroup:
    """Failures of one type whose messages differ only in paths and numbers, shown as ``<path>`` and ``#``.

    `hosts` are those of the last workers; a worker that was pruned is left out.
    """

    error_type: str
    message: str
    count: int
    workflows: list[str]
    hosts: list[str]
    example: int
    last_at: dt.datetime


def throughput(connection: Reader, which: Filter, window: float, number: int) -> list[Interval]:
    """The last `window` seconds in so many intervals of the same length, the oldest first.

    Without a filter only the index is read.
    """
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"""
        WITH edges AS (
          SELECT array_agg(now() - make_interval(secs => %(step)s) * back ORDER BY back DESC) AS starts
          FROM generate_series(1, %(number)s::integer) AS back
        )
        SELECT interval.start, coalesce(ended.jobs, 0) AS finished
        FROM unnest((SELECT starts FROM edges)) WITH ORDINALITY AS interval (start, number)
        LEFT JOIN (
          SELECT width_bucket(jobs.finished_at, (SELECT starts FROM edges)) AS number, count(*) AS jobs
          FROM jobs WHERE {_IN_WINDOW} AND {wanted.text} GROUP BY 1
        ) AS ended USING (number)
        ORDER BY number
        """,
        {**wanted.values, "window": window, "number": number, "step": window / number},
    )
    return [Interval(row.start, row.finished) for row in rows]


def waited(connection: Reader, window: float, number: int) -> list[float | None]:
    """How long jobs waited that finished in the last `window` seconds, in so many intervals, oldest first.

    Of each interval the median of its last 50, in seconds; None: there are none. So few rows are read,
    however many jobs finished.
    """
    rows = sql.execute(connection, "waited", step=window / number, number=number, most=_SOME)
    return [row.waited for row in rows]


_SOME = 50
_IN_WINDOW = "jobs.finished_at > now() - make_interval(secs => %(window)s) AND jobs.finished_at <= now()"


def period(connection: Reader, which: Filter, window: float) -> Period | None:
    """When the jobs that ended in the last `window` seconds ran; None if there are none.

    If there are many, the first start is that of the first 5,000 that ended.
    """
    # The last of jobs that lie anywhere is not looked for backwards, among all that are newer.
    end = "jobs.finished_at" if which.ids is None and not which.tags else "jobs.finished_at + interval '0'"
    ended, running = which.clause(), replace(which, states=(State.RUNNING,)).clause()
    [row] = connection.exec_driver_sql(
        f"""
        SELECT greatest(first.started_at, now() - make_interval(secs => %(window)s)) AS start,
          (SELECT max({end}) FROM jobs WHERE {_IN_WINDOW} AND {ended.text}) AS last,
          now() AS now
        FROM (
          SELECT min(started_at) AS started_at FROM (
            SELECT coalesce(jobs.started_at, jobs.finished_at) AS started_at
            FROM jobs WHERE {_IN_WINDOW} AND {ended.text} ORDER BY jobs.finished_at LIMIT {_FIRST}
          ) AS newest
        ) AS first
        """,
        {**ended.values, "window": window},
    )
    if row.last is None:
        return None
    some = f"SELECT EXISTS (SELECT FROM jobs WHERE {running.text})"
    runs = bool(connection.exec_driver_sql(some, running.values).scalar())
    return Period(row.start, row.now if runs else row.last, runs)


_FIRST = 5000


def times(connection: Reader, which: Filter, window: float, most: int) -> list[Times]:
    """Waiting and running times by workflow, of the newest `most` jobs that finished in the window."""
    wanted = which.clause()
    recent = (
        "SELECT jobs.workflow, jobs.state, jobs.attempt, greatest(jobs.submitted_at, jobs.run_at) AS due, "
        f"jobs.started_at, job_took(jobs) AS took FROM jobs WHERE {_IN_WINDOW} AND {wanted.text} "
        "ORDER BY jobs.finished_at DESC LIMIT %(most)s"
    )
    statement = sql.statement("times").replace("/* recent */", recent)
    rows = connection.exec_driver_sql(statement, {**wanted.values, "window": window, "most": most})
    return [
        Times(
            row.workflow,
            {state: number for state in _ENDED if (number := getattr(row, state))},
            Spread(*row.waiting) if row.waiting else None,
            Spread(*row.running) if row.running else None,
        )
        for row in rows
    ]


_ENDED = ("succeeded", "failed", "cancelled", "upstream_failed")


def errors(connection: Reader, which: Filter, most: int) -> list[ErrorGroup]:
    """The newest `most` failures in groups, the largest first.

    Parameters:
        which: without states, those that failed.
    """
    wanted = _failed(which)
    its_type, its_message = kind_of_error("recent")
    # Read first, then normalised: a subquery with a limit is not merged.
    rows = connection.exec_driver_sql(
        f"""
        SELECT {its_type} AS error_type, {its_message} AS message, count(*) AS number,
          array_agg(DISTINCT recent.workflow) AS workflows, array_agg(DISTINCT workers.host) AS hosts,
          max(recent.id) AS example, max(recent.finished_at) AS last_at
        FROM (
          SELECT jobs.id, jobs.workflow, jobs.state, jobs.error_type, jobs.error_message, jobs.finished_at,
            jobs.worker_id
          FROM jobs WHERE {wanted.text} ORDER BY jobs.id DESC LIMIT %(most)s
        ) AS recent
        LEFT JOIN workers ON workers.id = recent.worker_id
        GROUP BY 1, 2
        ORDER BY number DESC, 1, 2
        """,
        {**wanted.values, "most": most},
    )
    return [
        ErrorGroup(
            row.error_type,
            row.message,
            row.number,
            row.workflows,
            [host for host in row.hosts if host is not None],
            row.example,
            row.last_at,
        )
        for row in rows
    ]


def ids_with_error(connection: Reader, which: Filter, error_type: str, message: str | None) -> list[int]:
    """All failures of a type, or of one of its groups: their ids, ascending."""
    its_type, its_message = kind_of_error("jobs")
    its = f"{its_type} = %(error_type)s" + ("" if message is None else f" AND {its_message} = %(message)s")
    return _ids(connection, _failed(which), its, error_type=error_type, message=message)


def ids_with_error_like(connection: Reader, which: Filter, pattern: str) -> list[int]:
    """All failures with this somewhere in ``type: message``: their ids, ascending.

    Parameters:
        pattern: a regular expression, as Postgres writes them.

    Raises:
        RefusedByBoardError: it is not one.
    """
    told = "concat_ws(': ', jobs.error_type, jobs.error_message) ~ %(pattern)s"
    return _ids(connection, _failed(which), told, pattern=pattern)


def _ids(connection: Reader, which: Clause, condition: str, **values: Any) -> list[int]:
    rows = connection.exec_driver_sql(
        f"SELECT jobs.id FROM jobs WHERE {which.text} AND {condition} ORDER BY jobs.id",
        {**which.values, **values},
    )
    return [row.id for row in rows]


def _failed(which: Filter) -> Clause:
    """What counts as a failure: jobs that failed, or cancelled or upstream_failed ones if asked for."""
    states = UNSUCCESSFUL.intersection(which.states) if which.states else {State.FAILED}
    return replace(which, states=sorted(states)).clause() if states else Clause("false")
