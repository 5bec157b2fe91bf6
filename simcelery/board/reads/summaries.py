"""Summaries of many jobs: how fast they finish, how long they take, why they fail.

Each statement reads a limited part of the board through an index, however many jobs there are.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    SQLColumnExpression,
    Text,
    case,
    extract,
    false,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board.models import Job, Worker
from simcelery.board.reads.alike import kind_of_error
from simcelery.board.reads.jobs import Filter
from simcelery.board.sql_helpers import seconds
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


def throughput(connection: Connection, which: Filter, window: float, number: int) -> list[Interval]:
    """The last `window` seconds in so many intervals of the same length, the oldest first.

    Without a filter only the index is read.
    """
    step = window / number
    back = func.generate_series(number, 1, -1).column_valued("back")
    start: ColumnElement[Any] = func.now() - seconds(step) * back
    finished = (
        select(func.count())
        .where(Job.finished_at > start, Job.finished_at <= start + seconds(step), *which.conditions())
        .correlate_except(Job)
        .scalar_subquery()
    )
    rows = connection.execute(select(start.label("start"), finished.label("finished")).order_by("start"))
    return [Interval(row.start, row.finished) for row in rows]


def period(connection: Connection, which: Filter, window: float) -> Period | None:
    """When the jobs that ended in the last `window` seconds ran; None if there are none.

    If there are many, the first start is that of the first 5,000 that ended.
    """
    begin = func.now() - seconds(window)
    ended = (Job.finished_at > begin, Job.finished_at <= func.now(), *which.conditions())
    first = (
        select(func.coalesce(Job.started_at, Job.finished_at).label("started_at"))
        .where(*ended)
        .order_by(Job.finished_at)
        .limit(_FIRST)
        .subquery("first")
    )
    running = select(Job.id).where(*replace(which, states=(State.RUNNING,)).conditions())
    row = connection.execute(
        select(
            select(func.greatest(func.min(first.c.started_at), begin)).scalar_subquery().label("start"),
            select(func.max(Job.finished_at)).where(*ended).scalar_subquery().label("last"),
            running.exists().label("running"),
            func.now().label("now"),
        )
    ).one()
    if row.last is None:
        return None
    return Period(row.start, row.now if row.running else row.last, row.running)


_FIRST = 5000


def _lasted(start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[float]:
    """Seconds, or none if Postgres's clock was set back in between."""
    return case((end < start, 0.0), else_=extract("epoch", end - start).cast(Double))


def times(connection: Connection, which: Filter, window: float, most: int) -> list[Times]:
    """Waiting and running times by workflow, of the newest `most` jobs that finished in the window."""
    due = func.greatest(Job.submitted_at, Job.run_at)
    recent = (
        select(
            Job.workflow,
            Job.state,
            _lasted(due, Job.started_at).label("waiting"),
            _lasted(Job.started_at, Job.finished_at).label("running"),
            Job.attempt,
        )
        .where(Job.finished_at > func.now() - seconds(window), *which.conditions())
        .order_by(Job.finished_at.desc())
        .limit(most)
        .subquery("recent")
    )
    ran = recent.c.state.in_([State.SUCCEEDED, State.FAILED])
    statement = select(
        recent.c.workflow,
        *(func.count().filter(recent.c.state == state).label(state) for state in _ENDED),
        _spread(recent.c.waiting).filter(ran, recent.c.attempt == 1).label("waiting"),
        _spread(recent.c.running).filter(ran).label("running"),
    ).group_by(recent.c.workflow)
    return [
        Times(
            row.workflow,
            {str(state): row._mapping[state] for state in _ENDED if row._mapping[state]},
            Spread(*row.waiting) if row.waiting else None,
            Spread(*row.running) if row.running else None,
        )
        for row in connection.execute(statement.order_by(recent.c.workflow))
    ]


_ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.UPSTREAM_FAILED)


def _spread(column: ColumnElement[float]) -> Any:
    shares: Any = literal([0.5, 0.9, 1.0], ARRAY(Double))
    return func.percentile_cont(shares).within_group(column)


def errors(connection: Connection, which: Filter, most: int) -> list[ErrorGroup]:
    """The newest `most` failures in groups, the largest first.

    Parameters:
        which: without states, those that failed.
    """
    recent = (
        select(Job.id, Job.workflow, Job.state, Job.error_type, Job.error_message)
        .add_columns(Job.finished_at, Job.worker_id)
        .where(*_failed(which))
        .order_by(Job.id.desc())
        .limit(most)
        .subquery("recent")
    )
    # Read first, then normalised: a subquery with a limit is not merged.
    columns = recent.c
    error_type, message = _kind_of_error("recent")
    count = func.count().label("count")
    statement = (
        select(
            error_type,
            message,
            count,
            func.array_agg(columns.workflow.distinct(), type_=ARRAY(Text)).label("workflows"),
            func.array_agg(Worker.host.distinct(), type_=ARRAY(Text)).label("hosts"),
            func.max(columns.id).label("example"),
            func.max(columns.finished_at).label("last_at"),
        )
        .outerjoin(Worker, Worker.id == columns.worker_id)
        .group_by(error_type, message)
        .order_by(count.desc(), error_type, message)
    )
    return [
        ErrorGroup(**{**row._mapping, "hosts": [host for host in row.hosts if host is not None]})
        for row in connection.execute(statement)
    ]


def ids_with_error(connection: Connection, which: Filter, error_type: str, message: str | None) -> list[int]:
    """All failures of a type, or of one of its groups: their ids, ascending."""
    its_type, its_message = _kind_of_error("jobs")
    statement = select(Job.id).where(*_failed(which), its_type == error_type).order_by(Job.id)
    if message is not None:
        statement = statement.where(its_message == message)
    return list(connection.scalars(statement))


def ids_with_error_like(connection: Connection, which: Filter, pattern: str) -> list[int]:
    """All failures with this somewhere in ``type: message``: their ids, ascending.

    Parameters:
        pattern: a regular expression, as Postgres writes them.

    Raises:
        RefusedByBoardError: it is not one.
    """
    told = func.concat_ws(": ", Job.error_type, Job.error_message)
    statement = select(Job.id).where(*_failed(which), told.regexp_match(pattern)).order_by(Job.id)
    return list(connection.scalars(statement))


def _failed(which: Filter) -> list[ColumnElement[bool]]:
    """What counts as a failure: jobs that failed, or cancelled or upstream_failed ones if asked for."""
    states = UNSUCCESSFUL.intersection(which.states) if which.states else {State.FAILED}
    return replace(which, states=sorted(states)).conditions() + ([] if states else [false()])


def _kind_of_error(table: str) -> tuple[ColumnElement[str], ColumnElement[str]]:
    its_type, its_message = (literal_column(part.replace("%%", "%"), Text) for part in kind_of_error(table))
    return its_type.label("error_type"), its_message.label("message")
