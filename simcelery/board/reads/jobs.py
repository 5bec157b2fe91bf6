"""Read the board: jobs for people and handles, counts, and the whole story of one job."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from simcelery.board import sql
from simcelery.board.reads import pages
from simcelery.board.reads.filters import Filter as Filter
from simcelery.board.reads.order import ORDER, ordered
from simcelery.board.reads.origins import of_workflow
from simcelery.board.reads.revisions import ran_with, stages_of
from simcelery.board.reads.rules import HELD
from simcelery.board.sql import Reader
from simcelery.board.states import OTHER_SOURCE, TERMINAL, State
from simcelery.board.unreadable import bad_rows


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
    time_request: int | None
    run_at: dt.datetime | None
    published_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    unmet: int
    progress: dict[str, Any] | None
    submitted_by: str
    parent_id: int | None
    idempotency_key: str | None
    held: bool = False


# Not columns of its row.
_MADE = ("error", "error_message", "worker", "held")
_PLAIN = [name for name in JobRow.__dataclass_fields__ if name not in _MADE]


# A worker that is long gone may have been pruned; its attempts still bear its name.
_JOBS = f"""
SELECT {", ".join(f"jobs.{name}" for name in _PLAIN)}, jobs.error_message,
  CASE WHEN jobs.worker_id IS NOT NULL AND workers.id IS NULL THEN (
    SELECT attempts.nodename FROM attempts
    WHERE attempts.job_id = jobs.id AND attempts.attempt = jobs.attempt
  ) ELSE workers.nodename END AS worker,
  workflows.parameters -> '{ORDER}' AS names,
  {HELD} AS held
FROM jobs
LEFT JOIN workers ON workers.id = jobs.worker_id
LEFT JOIN workflows ON workflows.name = jobs.workflow
"""


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


def job(connection: Reader, job_id: int) -> JobRow | None:
    """One job, or None."""
    found = connection.exec_driver_sql(f"{_JOBS} WHERE jobs.id = %(job_id)s", {"job_id": job_id})
    return next(iter(_jobs(found)), None)


def job_by_task_id(connection: Reader, task_id: uuid.UUID) -> JobRow | None:
    """The job with this Celery task id, or None."""
    found = connection.exec_driver_sql(f"{_JOBS} WHERE jobs.task_id = %(task_id)s", {"task_id": task_id})
    return next(iter(_jobs(found)), None)


def jobs(connection: Reader, which: Filter, *, limit: int | None = None, newest: bool = True) -> list[JobRow]:
    """The jobs that pass the filter, newest first unless told otherwise."""
    order = "DESC" if newest else "ASC"
    end = f"ORDER BY jobs.id {order} LIMIT %(limit)s"

    def read(page: Filter, scattered: bool) -> list[Any]:
        wanted = page.clause()
        chosen = wanted.text
        if limit is not None and scattered:
            first = f"ORDER BY jobs.id + 0 {order} LIMIT %(limit)s"
            chosen = f"jobs.id IN (SELECT jobs.id FROM jobs WHERE {wanted.text} {first})"
        values = {**wanted.values, "limit": limit}
        return list(connection.exec_driver_sql(f"{_JOBS} WHERE {chosen} {end}", values))

    return _jobs(pages.nearest(connection, which, read, limit=limit, newest=newest))


def ids(connection: Reader, which: Filter) -> list[int]:
    """The ids of the jobs that pass the filter, ascending."""
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"SELECT jobs.id FROM jobs WHERE {wanted.text} ORDER BY jobs.id", wanted.values
    )
    return [row.id for row in rows]


def last_id(connection: Reader) -> int | None:
    """The id of the job that was recorded last."""
    found: int | None = connection.exec_driver_sql("SELECT max(id) FROM jobs").scalar()
    return found


def any_between(connection: Reader, first: int, last: int) -> bool:
    """Whether a job with an id from `first` to `last` is on the board."""
    there = "SELECT EXISTS (SELECT FROM jobs WHERE id BETWEEN %(first)s AND %(last)s)"
    return bool(connection.exec_driver_sql(there, {"first": first, "last": last}).scalar())


def counts(connection: Reader, which: Filter) -> dict[State, int]:
    """How many jobs are in each state; states with none are left out."""
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"SELECT jobs.state, count(*) AS number FROM jobs WHERE {wanted.text} GROUP BY jobs.state",
        wanted.values,
    )
    return {known: row.number for row in rows if (known := _known(row.state, row.number))}


def count(connection: Reader, which: Filter, most: int) -> int:
    """How many jobs pass the filter, counted no further than `most`."""
    wanted = which.clause()
    some = f"SELECT FROM jobs WHERE {wanted.text} LIMIT %(most)s"
    counted = connection.exec_driver_sql(
        f"SELECT count(*) FROM ({some}) AS counted", {**wanted.values, "most": most}
    )
    return int(counted.scalar())


def counts_by_workflow(connection: Reader, which: Filter) -> dict[str, dict[State, int]]:
    """The same as `counts` for each workflow."""
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        "SELECT jobs.workflow, jobs.state, count(*) AS number FROM jobs "
        f"WHERE {wanted.text} GROUP BY jobs.workflow, jobs.state ORDER BY jobs.workflow",
        wanted.values,
    )
    found: dict[str, dict[State, int]] = {}
    for row in rows:
        if known := _known(row.state, row.number):
            found.setdefault(row.workflow, {})[known] = row.number
    return found


def counts_by_kind(connection: Reader) -> dict[tuple[str, str], dict[State, int]]:
    """How many jobs of each workflow and queue are in each state, all in all: reads only an index."""
    rows = connection.exec_driver_sql(
        "SELECT jobs.workflow, jobs.queue, jobs.state, count(*) AS number FROM jobs "
        "GROUP BY jobs.workflow, jobs.queue, jobs.state ORDER BY jobs.workflow, jobs.queue"
    )
    found: dict[tuple[str, str], dict[State, int]] = {}
    for row in rows:
        if known := _known(row.state, row.number):
            found.setdefault((row.workflow, row.queue), {})[known] = row.number
    return found


def _known(state: str, number: int) -> State | None:
    if not (known := bad_rows.state(state)):
        bad_rows.name({f"{number:,} jobs": f"they are left out, since there is no state {state!r}"})
    return known


# Of a statement's jobs.
_AMONG = "jobs.id = ANY(%(ids)s::bigint[])"


def _among(connection: Reader, statement: str, job_ids: Iterable[int], **values: Any) -> Any:
    """The rows of a statement about these jobs."""
    return connection.exec_driver_sql(f"{statement} WHERE {_AMONG}", {"ids": list(job_ids), **values})


def states(connection: Reader, job_ids: Iterable[int]) -> dict[int, State]:
    """The state of each job; those that are not on the board are left out."""
    rows = _among(connection, "SELECT jobs.id, jobs.state FROM jobs", job_ids)
    return {row.id: known for row in rows if (known := _known(row.state, 1))}


def states_by_task_id(connection: Reader, job_ids: Iterable[int]) -> dict[uuid.UUID, State]:
    """The same, by what is never given out again: who has a handle finds its job here, or none."""
    rows = _among(connection, "SELECT jobs.task_id, jobs.state FROM jobs", job_ids)
    return {row.task_id: known for row in rows if (known := _known(row.state, 1))}


def running(connection: Reader, job_ids: Iterable[int]) -> dict[int, bool]:
    """Those of the jobs that run, and whether they have begun: of what a pool child holds, only one has."""
    rows = sql.execute(connection, "running_alone", ids=list(job_ids))
    return {row.id: row.alone for row in rows}


def workflows(connection: Reader, job_ids: Iterable[int]) -> set[str]:
    """The names of these jobs' workflows."""
    rows = _among(connection, "SELECT DISTINCT jobs.workflow FROM jobs", job_ids)
    return {row.workflow for row in rows}


def parameter(connection: Reader, job_ids: Iterable[int], name: str) -> dict[int, str | None]:
    """One parameter of each job, as text."""
    statement = "SELECT jobs.id, jobs.parameters ->> %(name)s::text AS value FROM jobs"
    return {row.id: row.value for row in _among(connection, statement, job_ids, name=name)}


def put_back(connection: Reader, job_ids: Iterable[int], name: str) -> dict[int, tuple[str, str]]:
    """Those of the jobs that wait for a worker with other files: one parameter, as text, and why.

    Parameters:
        name: of the parameter.
    """
    rows = sql.execute(connection, "put_back_jobs", ids=list(job_ids), name=name, error_type=OTHER_SOURCE)
    return {row.id: (row.value or "", row.error_message or "") for row in rows}


def finished_among(connection: Reader, job_ids: Iterable[int]) -> dict[int, State]:
    """Those of the jobs that are in a terminal state."""
    return {number: state for number, state in states(connection, job_ids).items() if state in TERMINAL}


def results(connection: Reader, job_ids: Iterable[int]) -> dict[int, tuple[str, Any]]:
    """Workflow and encoded result of those jobs that succeeded."""
    statement = "SELECT jobs.id, jobs.workflow, jobs.result FROM jobs"
    rows = connection.exec_driver_sql(
        f"{statement} WHERE {_AMONG} AND jobs.state = 'succeeded'", {"ids": list(job_ids)}
    )
    return {row.id: (row.workflow, row.result) for row in rows}


def attempts(connection: Reader, job_id: int) -> list[dict[str, Any]]:
    """The ended attempts of a job, oldest first, each with what it ran with.

    That is, its ``parameters``, encoded, and its ``environment``; see `origins.of_workflow`.
    """
    return attempts_of(connection, [job_id]).get(job_id, [])


def attempts_of(connection: Reader, job_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """The same of many jobs; those that have none are left out."""
    rows = sql.execute(connection, "attempts_of", ids=list(job_ids)).all()
    had = stages_of(connection, {row.job_id for row in rows}) if rows else {}
    left_out = ("job_id", "details", "workflow")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        about = {name: value for name, value in _attempt(row).items() if name not in left_out}
        about["parameters"] = ran_with(had[row.job_id], row.attempt)
        about["environment"] = of_workflow(row.details, row.workflow)
        found.setdefault(row.job_id, []).append(about)
    return found


def _attempt(row: Any) -> dict[str, Any]:
    found: dict[str, Any] = row._asdict()
    if (late := row.late_outcome) is not None:
        found["late_outcome"] = bad_rows.named_values(late)
        if what := bad_rows.trouble(found["late_outcome"]):
            bad_rows.name({f"attempt {row.attempt} of job {row.job_id}": f"its late outcome: {what}"})
    return found


def number_before(connection: Reader, job: JobRow) -> int:
    """How many pending jobs of its queue and workflow come before a pending job."""
    place = {"queue": job.queue, "workflow": job.workflow, "priority": job.priority, "id": job.id}
    return int(sql.execute(connection, "number_before", **place).scalar())


def last_attempts(connection: Reader, job_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The newest ended attempt of each of these jobs that has one; see `attempts`."""
    rows = sql.execute(connection, "last_attempts", ids=list(job_ids))
    return {row.job_id: _attempt(row) for row in rows}


def ids_by_task_id(connection: Reader, task_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """The ids of the jobs with these Celery task ids; those that are not on the board are left out."""
    rows = connection.exec_driver_sql(
        "SELECT task_id, id FROM jobs WHERE task_id = ANY(%(ids)s::uuid[])", {"ids": list(task_ids)}
    )
    return {row.task_id: row.id for row in rows}
