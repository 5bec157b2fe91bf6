"""Read the board: jobs for people and handles, counts, and the whole story of one job."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board import environments
from simcelery.board.catalogue import ORDER, ordered
from simcelery.board.gates import is_held
from simcelery.board.models import Attempt, Environment, Job, Worker, Workflow
from simcelery.board.reads.fields import compiled
from simcelery.board.reads.revisions import ran_with, stages_of
from simcelery.board.sql_helpers import among, seconds, within
from simcelery.board.states import OTHER_SOURCE, TERMINAL, State
from simcelery.board.unreadable import bad_rows
from simcelery.conditions.values import Condition


@dataclass(frozen=True)
class JobRow:
    """One job as people see it. `error` is ``type: message``; `worker` is the last worker's nodename.

    `parameters` are in the order of the signature, where the board's catalogue knows the workflow. It is
    `held` if it is blocked behind a closed gate.
    """

    id: int
    task_id: uuid.UUID
    workflow: str
    parameters: dict[str, Any]
    state: State
    queue: str
    priority: int
    tags: list[str]
    attempt: int
    result: Any
    error: str | None
    error_type: str | None
    error_message: str | None
    submitted_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    worker: str | None
    pid: int | None
    failures: int
    losses: int
    max_attempts: int
    max_losses: int
    time_limit: float | None
    run_at: dt.datetime | None
    published_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    unmet: int
    progress: dict[str, Any] | None
    submitted_by: str
    parent_id: int | None
    idempotency_key: str | None
    held: bool = False


@dataclass(frozen=True)
class Filter:
    """Which jobs. A job must match everything given, and have all `tags`; `since` counts seconds back.

    `where` is a condition on any of its fields.
    """

    ids: Sequence[int] | None = None
    states: Sequence[str] = ()
    workflow: str | None = None
    tags: Sequence[str] = ()
    queue: str | None = None
    since: float | None = None
    where: Condition | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL.

        Raises:
            UsageError: `where` compares a column with what it can never be.
        """
        found: list[ColumnElement[bool]] = []
        if self.ids is not None:
            found.append(within(Job.id, self.ids))
        if self.states:
            found.append(Job.state.in_(list(self.states)))
        if self.workflow:
            found.append(Job.workflow == self.workflow)
        if self.tags:
            # The second says so that Postgres finds the index, which leaves out jobs without tags.
            found += [Job.tags.contains(list(self.tags)), Job.tags != text("'{}'")]
        if self.queue:
            found.append(Job.queue == self.queue)
        if self.since is not None:
            found += [Job.submitted_at >= func.now() - seconds(self.since), Job.id > _last_before(self.since)]
        if self.where is not None:
            found.append(compiled(self.where))
        return found


# A job's id is drawn after the beginning of its transaction, which is its submitted_at: by that much, in
# seconds, two jobs may be out of order at most. No transaction of ours can last as long.
_LONGEST_TRANSACTION = 600.0


def _last_before(since: float) -> ColumnElement[int]:
    """An id such that all jobs recorded in the last `since` seconds have a larger one.

    Ids grow with time, so it is found by bisection. An index on the time would cost every transition.
    """
    search = text("""
    WITH RECURSIVE search (low, high) AS (
      SELECT CAST(0 AS bigint), (SELECT max(id) FROM jobs)
      UNION ALL
      SELECT CASE WHEN older THEN middle ELSE low END, CASE WHEN older THEN high ELSE middle END
      FROM (
        SELECT low, high, (low + high) / 2 AS middle,
          (SELECT submitted_at FROM jobs WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1)
            < now() - make_interval(secs => :back) AS older
        FROM search WHERE high - low > 1
      ) AS step
    )
    SELECT max(low) FROM search
    """)
    bound = search.bindparams(bindparam("back", since + _LONGEST_TRANSACTION, unique=True))
    return bound.columns(column("low", BigInteger)).scalar_subquery()


# Not columns of its row.
_MADE = ("error", "error_message", "worker", "held")
_PLAIN = [name for name in JobRow.__dataclass_fields__ if name not in _MADE]


def _select_jobs() -> Select[Any]:
    columns = [getattr(Job, name) for name in _PLAIN]
    # A worker that is long gone may have been pruned; its attempts still bear its name.
    noted = select(Attempt.nodename).where(Attempt.job_id == Job.id, Attempt.attempt == Job.attempt)
    pruned = Job.worker_id.is_not(None) & Worker.id.is_(None)
    worker = case((pruned, noted.scalar_subquery()), else_=Worker.nodename).label("worker")
    names = Workflow.parameters[ORDER].label("names")
    return (
        select(*columns, Job.error_message, worker, names, is_held().label("held"))
        .outerjoin(Worker, Worker.id == Job.worker_id)
        .outerjoin(Workflow, Workflow.name == Job.workflow)
    )


def _jobs(rows: Iterable[Any]) -> list[JobRow]:
    """What can be read of the rows; what cannot is named. A row with an unknown state is left out."""
    bad: dict[str, str] = {}
    found = [made for row in rows if (made := _job(row, bad))]
    bad_rows.name(bad)
    return found


def _job(row: Any, bad: dict[str, str]) -> JobRow | None:
    values = {name: getattr(row, name) for name in _PLAIN}
    state = bad_rows.state(row.state)
    if state is None:
        bad[f"job {row.id}"] = f"it is left out, since there is no state {row.state!r}"
        return None
    values |= {
        "state": state,
        "parameters": ordered(bad_rows.named_values(row.parameters), row.names),
        "progress": row.progress and bad_rows.named_values(row.progress),
        "tags": bad_rows.words(row.tags),
    }
    for name in ("parameters", "result", "progress"):
        if what := bad_rows.trouble(values[name]):
            bad[f"job {row.id}"] = f"its {name}: {what}"
    return JobRow(
        **values, error=error_of(row), error_message=row.error_message, worker=row.worker, held=row.held
    )


def error_of(row: Any) -> str | None:
    """``type: message`` of a row's error, if it has one."""
    return f"{row.error_type}: {row.error_message or ''}".rstrip(": ") if row.error_type else None


def job(connection: Connection, job_id: int) -> JobRow | None:
    """One job, or None."""
    return next(iter(_jobs(connection.execute(_select_jobs().where(Job.id == job_id)))), None)


def job_by_task_id(connection: Connection, task_id: uuid.UUID) -> JobRow | None:
    """The job with this Celery task id, or None."""
    return next(iter(_jobs(connection.execute(_select_jobs().where(Job.task_id == task_id)))), None)


def jobs(
    connection: Connection, which: Filter, *, limit: int | None = None, newest: bool = True
) -> list[JobRow]:
    """The jobs that pass the filter, newest first unless told otherwise."""
    order = Job.id.desc() if newest else Job.id.asc()
    statement = _select_jobs().where(*which.conditions()).order_by(order).limit(limit)
    running = list(which.states) == [State.RUNNING]
    if not (which.tags or running) or limit is None or not newest:
        return _jobs(connection.execute(statement))
    # Where these lie, Postgres cannot know: it may read back through all that are newer. So first a look at
    # the newest jobs alone, and then, by an order that no index has, at all that have the tag, or run.
    recent = Job.id > select(func.max(Job.id) - _RECENT).scalar_subquery()
    found = connection.execute(statement.where(recent)).all()
    if len(found) < limit:
        chosen = select(Job.id).where(*which.conditions()).order_by((Job.id + 0).desc()).limit(limit)
        found = connection.execute(_select_jobs().where(Job.id.in_(chosen)).order_by(order)).all()
    return _jobs(found)


_RECENT = 50_000


def ids(connection: Connection, which: Filter) -> list[int]:
    """The ids of the jobs that pass the filter, ascending."""
    return list(connection.scalars(select(Job.id).where(*which.conditions()).order_by(Job.id)))


def last_id(connection: Connection) -> int | None:
    """The id of the job that was recorded last."""
    return connection.scalar(select(func.max(Job.id)))


def any_between(connection: Connection, first: int, last: int) -> bool:
    """Whether a job with an id from `first` to `last` is on the board."""
    return bool(connection.scalar(select(select(Job.id).where(Job.id.between(first, last)).exists())))


def counts(connection: Connection, which: Filter) -> dict[State, int]:
    """How many jobs are in each state; states with none are left out."""
    rows = connection.execute(select(Job.state, func.count()).where(*which.conditions()).group_by(Job.state))
    return {known: number for state, number in rows if (known := _known(state, number))}


def count(connection: Connection, which: Filter, most: int) -> int:
    """How many jobs pass the filter, counted no further than `most`."""
    some = select(Job.id).where(*which.conditions()).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def counts_by_workflow(connection: Connection, which: Filter) -> dict[str, dict[State, int]]:
    """The same for each workflow."""
    rows = connection.execute(
        select(Job.workflow, Job.state, func.count())
        .where(*which.conditions())
        .group_by(Job.workflow, Job.state)
        .order_by(Job.workflow)
    )
    found: dict[str, dict[State, int]] = {}
    for workflow, state, number in rows:
        if known := _known(state, number):
            found.setdefault(workflow, {})[known] = number
    return found


def _known(state: str, number: int) -> State | None:
    if not (known := bad_rows.state(state)):
        bad_rows.name({f"{number:,} jobs": f"they are left out, since there is no state {state!r}"})
    return known


def states(connection: Connection, job_ids: Iterable[int]) -> dict[int, State]:
    """The state of each job; those that are not on the board are left out."""
    rows = connection.execute(select(Job.id, Job.state).where(among(Job.id, job_ids)))
    return {row.id: known for row in rows if (known := _known(row.state, 1))}


def running(connection: Connection, job_ids: Iterable[int]) -> dict[int, bool]:
    """Those of the jobs that run, and whether they have begun: of what a pool child holds, only one has."""
    other = Job.__table__.alias().c
    beside = select(other.id).where(
        other.state == State.RUNNING,
        other.worker_id == Job.worker_id,
        other.pid == Job.pid,
        other.id != Job.id,
    )
    rows = connection.execute(
        select(Job.id, ~beside.exists()).where(among(Job.id, job_ids), Job.state == State.RUNNING)
    )
    return {row.id: row[1] for row in rows}


def workflows(connection: Connection, job_ids: Iterable[int]) -> set[str]:
    """The names of these jobs' workflows."""
    return set(connection.scalars(select(Job.workflow).where(among(Job.id, job_ids)).distinct()))


def parameter(connection: Connection, job_ids: Iterable[int], name: str) -> dict[int, str | None]:
    """One parameter of each job, as text."""
    value = Job.parameters[name].astext
    return {row.id: row[1] for row in connection.execute(select(Job.id, value).where(among(Job.id, job_ids)))}


def put_back(connection: Connection, job_ids: Iterable[int], name: str) -> dict[int, tuple[str, str]]:
    """Those of the jobs that wait for a worker with other files: one parameter, as text, and why.

    Parameters:
        name: of the parameter.
    """
    rows = connection.execute(
        select(Job.id, Job.parameters[name].astext.label("value"), Job.error_message).where(
            among(Job.id, job_ids),
            Job.state.in_((State.PENDING, State.SCHEDULED)),
            Job.error_type == OTHER_SOURCE,
        )
    )
    return {row.id: (row.value or "", row.error_message or "") for row in rows}


def finished_among(connection: Connection, job_ids: Iterable[int]) -> dict[int, State]:
    """Those of the jobs that are in a terminal state."""
    rows = connection.execute(
        select(Job.id, Job.state).where(among(Job.id, job_ids), Job.state.in_(TERMINAL))
    )
    return {row.id: State(row.state) for row in rows}


def results(connection: Connection, job_ids: Iterable[int]) -> dict[int, tuple[str, Any]]:
    """Workflow and encoded result of those jobs that succeeded."""
    rows = connection.execute(
        select(Job.id, Job.workflow, Job.result).where(among(Job.id, job_ids), Job.state == State.SUCCEEDED)
    )
    return {row.id: (row.workflow, row.result) for row in rows}


def attempts(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    """The ended attempts of a job, oldest first, each with what it ran with.

    That is, its ``parameters``, encoded, and its ``environment``; see `environments.of_workflow`.
    """
    return attempts_of(connection, [job_id]).get(job_id, [])


def attempts_of(connection: Connection, job_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The same of many jobs; those that have none are left out."""
    rows = connection.execute(
        select(Attempt.__table__, Environment.details, Job.workflow)
        .join(Job, Job.id == Attempt.job_id)
        .outerjoin(Environment, Environment.id == Attempt.environment_id)
        .where(among(Attempt.job_id, job_ids))
        .order_by(Attempt.job_id, Attempt.attempt)
    ).all()
    had = stages_of(connection, {row.job_id for row in rows}) if rows else {}
    left_out = ("job_id", "details", "workflow")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        about = {name: value for name, value in _attempt(row).items() if name not in left_out}
        about["parameters"] = ran_with(had[row.job_id], row.attempt)
        about["environment"] = environments.of_workflow(row.details, row.workflow)
        found.setdefault(row.job_id, []).append(about)
    return found


def _attempt(row: Any) -> dict[str, Any]:
    found = dict(row._mapping)
    if (late := row.late_outcome) is not None:
        found["late_outcome"] = bad_rows.named_values(late)
        if what := bad_rows.trouble(found["late_outcome"]):
            bad_rows.name({f"attempt {row.attempt} of job {row.job_id}": f"its late outcome: {what}"})
    return found


def number_before(connection: Connection, job: JobRow) -> int:
    """How many pending jobs of its queue and workflow come before a pending job."""
    queued = and_(Job.state == State.PENDING, Job.queue == job.queue, Job.workflow == job.workflow)
    before = (Job.priority > job.priority, and_(Job.priority == job.priority, Job.id < job.id))
    # Four questions, each answered by a partial index: one for all would read every pending job.
    counts = [
        select(func.count()).where(queued, rank, published).scalar_subquery()
        for rank in before
        for published in (Job.published_at.is_(None), Job.published_at.is_not(None))
    ]
    return connection.scalar(select(sum(counts[1:], counts[0]))) or 0


def last_attempts(connection: Connection, job_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The newest ended attempt of each of these jobs that has one; see `attempts`."""
    other = Attempt.__table__.alias().c
    newest = select(func.max(other.attempt)).where(other.job_id == Attempt.job_id).scalar_subquery()
    rows = connection.execute(
        select(Attempt.__table__).where(among(Attempt.job_id, job_ids), Attempt.attempt == newest)
    )
    return {row.job_id: _attempt(row) for row in rows}


def ids_by_task_id(connection: Connection, task_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """The ids of the jobs with these Celery task ids; those that are not on the board are left out."""
    wanted: Any = literal(list(task_ids), ARRAY(Uuid))
    rows = connection.execute(select(Job.task_id, Job.id).where(Job.task_id == any_(wanted)))
    return {row.task_id: row.id for row in rows}
