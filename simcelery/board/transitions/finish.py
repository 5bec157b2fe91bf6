"""The transitions of a recorded job, but for claim and success (`slices`), retry (`revival`), and what the
end of a job means for others (`children`).

Each is one guarded UPDATE, executed in the caller's transaction. No row means that the race was
lost: somebody else has moved the job, and there is nothing to do. Rows are locked in the order of
their ids wherever several are touched, and a parent's id is always smaller than its child's, so that
no two transitions wait for each other in a circle.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    SQLColumnExpression,
    and_,
    case,
    exists,
    extract,
    func,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import aliased

from simcelery.board import patience
from simcelery.board.clock import not_ahead
from simcelery.board.leases import Registration
from simcelery.board.models import Attempt, Job, Worker
from simcelery.board.progress import append_log
from simcelery.board.sql_helpers import among, locked, seconds
from simcelery.board.states import ACTIVE, WAITING, Cause, Ending, State
from simcelery.board.to_publish import COLUMNS as SENDABLE
from simcelery.board.to_publish import Sendable, sendable
from simcelery.board.transitions.settle import unblock


@dataclass(frozen=True)
class Claim:
    """A job that this process may run, until somebody else holds a newer claim."""

    job_id: int
    task_id: uuid.UUID
    claim_id: uuid.UUID
    attempt: int
    workflow: str
    parameters: dict[str, Any]
    queue: str
    priority: int
    tags: Sequence[str]
    failures: int
    max_attempts: int
    time_limit: float | None
    soft_time_limit: float | None
    checkpoint: Any


@dataclass(frozen=True, kw_only=True)
class Report:
    """How an attempt ended.

    Attributes:
        result: encoded; for a success.
        retry_in: seconds until the next attempt if any is left; None: this error is final.
        cpu_seconds, peak_memory: of the attempt, seconds and bytes.
        seed: what its random numbers began with.
        log: what the attempt printed.
        ago: seconds since it ended, where the report had to wait.
    """

    ending: Ending
    cause: Cause | None = None
    result: Any = None
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    retry_in: float | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    workdir: str | None = None
    code_version: str | None = None
    seed: int | None = None
    log: str = ""
    ago: float = 0.0


@dataclass(frozen=True)
class Finished:
    """A job whose attempt has just ended.

    Attributes:
        workflow, took: of the attempt; how long it took, in seconds.
        unblocked: the jobs that waited for it and are pending now.
        again: what the job's own message needs, where it is pending again.
    """

    id: int
    task_id: uuid.UUID
    state: State
    attempt: int
    workflow: str = ""
    took: float = 0.0
    unblocked: tuple[Sendable, ...] = ()
    again: Sendable | None = None


Guard = ColumnElement[bool]


def by_claim(task_id: uuid.UUID, claim_id: uuid.UUID) -> Guard:
    """The job, while nobody has made a newer claim: for who claimed it."""
    return and_(Job.task_id == task_id, Job.claim_id == claim_id)


def by_child(task_id: uuid.UUID, me: Registration, pid: int) -> Guard:
    """The job, while it runs in this pool child: for its parent process, which knows no claim."""
    return and_(Job.task_id == task_id, Job.worker_id == me.worker_id, Job.pid == pid, me.holds)


# --- the ways out of running -----------------------------------------------------------------------


def finish(connection: Connection, guard: Guard, report: Report) -> Finished | None:
    """running → wherever the report leads; writes the attempt and unblocks the children of a success.

    A success is accepted as long as no newer claim was made, even where the worker was thought dead
    and the job is already waiting to run again.
    """
    if report.ending is Ending.SUCCEEDED:
        open_states = [State.RUNNING, State.PENDING, State.SCHEDULED]
        guard = and_(guard, Job.state.in_(open_states))
    else:
        guard = and_(guard, Job.state == State.RUNNING)
    ended = _end(connection, guard, report)
    if not ended:
        return None
    job = ended[0]
    if report.log:
        append_log(connection, job.id, job.attempt, report.log)
    if job.state is not State.SUCCEEDED:
        return job
    unblocked = tuple(unblock(connection, job.id))
    return replace(job, unblocked=unblocked)


def release(connection: Connection, me: Registration, cause: Cause = Cause.SHUTDOWN) -> list[Finished]:
    """running → pending for all jobs of a worker that shuts down; counts neither as failure nor as loss."""
    held = select(Job.id).where(Job.state == State.RUNNING, Job.worker_id == me.worker_id, me.holds)
    return _end(
        connection,
        Job.id.in_(locked(held)),
        Report(ending=Ending.RELEASED, cause=cause),
    )


def release_child(connection: Connection, me: Registration, pid: int, running: uuid.UUID) -> list[Finished]:
    """running → pending for all that a dead pool child held, but for the claim that it was running."""
    held = select(Job.id).where(
        Job.state == State.RUNNING,
        Job.worker_id == me.worker_id,
        Job.pid == pid,
        Job.claim_id != running,
        me.holds,
    )
    report = Report(
        ending=Ending.RELEASED,
        cause=Cause.WORKER_LOST,
        error_message="its pool child died while it ran another job of the slice",
    )
    return _end(connection, Job.id.in_(locked(held)), report)


def rescue(
    connection: Connection,
    *,
    grace: float,
    judge: int | None = None,
    limit: int = 1000,
) -> list[Finished]:
    """running → pending for jobs of lost workers (failed where no losses are left).

    Parameters:
        grace: seconds that every worker has to renew after Postgres started, and that the judge must have
            been connected without a gap: one lease.
        judge: the worker that judges the others; None: somebody by hand.
        limit: rows at most in this transaction.
    """
    lost = (
        select(Job.id)
        .join(Worker, Worker.id == Job.worker_id)
        .where(Job.state == State.RUNNING, patience.is_over(grace))
        .limit(limit)
    )
    if judge is not None:
        lost = lost.where(_may_judge(judge, grace))
    return _rescue(connection, lost, "the worker's lease ended while it ran the job")


def _may_judge(worker_id: int, grace: float) -> ColumnElement[bool]:
    """Whoever was cut off from Postgres first sees everybody else as lost.

    So does everybody when Postgres' clock is set forward: who judges has renewed since then.
    """
    judge = aliased(Worker)
    return exists().where(
        judge.id == worker_id,
        judge.ended_at.is_(None),
        judge.lease_expires_at > func.now(),
        judge.renewed_at >= func.now() - seconds(grace / 2),
        judge.steady_since <= func.now() - seconds(grace),
    )


def rescue_now(connection: Connection, worker_ids: Iterable[int], limit: int = 1000) -> list[Finished]:
    """The same at once for the jobs of workers that were buried (`leases.bury`): their death is certain."""
    orphaned = (
        select(Job.id)
        .join(Worker, Worker.id == Job.worker_id)
        .where(Job.state == State.RUNNING, among(Job.worker_id, worker_ids), Worker.ended_at.is_not(None))
        .limit(limit)
    )
    return _rescue(connection, orphaned, "the worker died and was started again on the same host")


def _rescue(connection: Connection, ids: Select[Any], message: str) -> list[Finished]:
    report = Report(
        ending=Ending.LOST, cause=Cause.WORKER_LOST, error_type="LostWorkerError", error_message=message
    )
    guard = and_(Job.id.in_(locked(ids, skip=True)), Job.state == State.RUNNING)
    return _end(connection, guard, report)


def _end(connection: Connection, guard: Guard, report: Report) -> list[Finished]:
    """One statement: the transition, and the row of the attempt that it ends."""
    done = (
        update(Job)
        .where(guard)
        .values(**_values(report), started_at=not_ahead(Job.started_at))
        .returning(*SENDABLE, Job.state, Job.attempt, Job.claim_id, Job.worker_id, Job.pid, Job.started_at)
        .cte("done")
    )
    columns = {
        "job_id": done.c.id,
        "attempt": done.c.attempt,
        "claim_id": done.c.claim_id,
        "outcome": literal(str(report.ending)),
        "cause": literal(str(report.cause)) if report.cause else null(),
        "error_type": literal(report.error_type),
        "error_message": literal(report.error_message),
        "traceback": literal(report.traceback),
        "worker_id": done.c.worker_id,
        "nodename": Worker.nodename,
        "host": Worker.host,
        "pid": done.c.pid,
        "scheduler_job_id": Worker.scheduler_job_id,
        "started_at": done.c.started_at,
        "finished_at": _ended_at(report, done.c.started_at),
        "cpu_seconds": literal(report.cpu_seconds, Attempt.cpu_seconds.type),
        "peak_memory": literal(report.peak_memory, Attempt.peak_memory.type),
        "workdir": literal(report.workdir),
        "code_version": literal(report.code_version),
        "seed": literal(report.seed, Attempt.seed.type),
    }
    rows = select(*columns.values()).select_from(done.outerjoin(Worker, Worker.id == done.c.worker_id))
    insert = pg_insert(Attempt).from_select(list(columns), rows)
    # Only a late success meets the row that its rescue or release wrote.
    replaced = ("outcome", "cause", "error_type", "error_message", "traceback", "finished_at")
    usage = ("cpu_seconds", "peak_memory", "workdir", "code_version", "seed")
    attempt = insert.on_conflict_do_update(
        index_elements=[Attempt.job_id, Attempt.attempt],
        set_={
            **{name: insert.excluded[name] for name in (*replaced, *usage)},
            "late_outcome": func.jsonb_build_object("accepted_after", Attempt.outcome),
        },
    )
    columns_of_message = [done.c[column.key] for column in SENDABLE]
    took = extract("epoch", _ended_at(report, done.c.started_at) - done.c.started_at).label("took")
    ended = connection.execute(
        select(*columns_of_message, done.c.state, done.c.attempt, took).add_cte(attempt.cte("written"))
    )
    return [_finished(row) for row in ended]


def _finished(row: Any) -> Finished:
    state = State(row.state)
    again = sendable(row) if state is State.PENDING else None
    return Finished(row.id, row.task_id, state, row.attempt, row.workflow, float(row.took), again=again)


def _values(report: Report) -> dict[str, Any]:
    """The columns of a job whose attempt ended so. A cancel request wins over all but a success."""
    if report.ending is Ending.SUCCEEDED:
        return {
            "state": State.SUCCEEDED,
            "result": report.result,
            "finished_at": _ended_at(report, Job.started_at),
            "error_type": null(),
            "error_message": null(),
        }
    error = {"error_type": report.error_type, "error_message": report.error_message}
    leave = partial(_leave, _ended_at(report, Job.started_at))
    if report.ending is Ending.FAILED:
        again = and_(literal(report.retry_in is not None), Job.failures + 1 < Job.max_attempts)
        run_at = func.now() + seconds(report.retry_in or 0.0)
        counted = {"failures": Job.failures + 1, "run_at": case((again, run_at), else_=Job.run_at)}
        return {**leave(again, State.SCHEDULED, State.FAILED), **error, **counted}
    if report.ending is Ending.LOST:
        again = Job.losses + 1 <= Job.max_losses
        return {**leave(again, State.PENDING, State.FAILED), **error, "losses": Job.losses + 1}
    if report.ending is Ending.RELEASED:
        return leave(literal(True), State.PENDING, State.FAILED)
    return leave(literal(False), State.PENDING, State.CANCELLED)


def _ended_at(report: Report, started_at: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """By the board's clock: a node's tells only how long ago it was, and may be wrong."""
    if report.ago <= 0:
        return func.now()
    return func.least(func.greatest(started_at, func.now() - seconds(report.ago)), func.now())


def _leave(
    ended_at: ColumnElement[Any], again: ColumnElement[bool], waiting: State, terminal: State
) -> dict[str, Any]:
    cancelled = Job.cancel_requested_at.is_not(None)
    waits = and_(again, ~cancelled)
    return {
        "state": case((cancelled, State.CANCELLED), (again, waiting), else_=terminal),
        "finished_at": case((waits, null()), else_=ended_at),
        "published_at": null(),
        "publish_count": 0,
    }


def note_late(connection: Connection, task_id: uuid.UUID, claim_id: uuid.UUID, report: Report) -> bool:
    """Keep what a worker that was thought dead reports of an attempt, where it can no longer count.

    Only the first report about an attempt that was lost or released is kept; one that is delivered twice
    is not late.
    """
    late: dict[str, Any] = {"outcome": str(report.ending)}
    if report.ending is Ending.SUCCEEDED:
        late["result"] = report.result
    else:
        late |= {"error_type": report.error_type, "error_message": report.error_message}
    noted = connection.execute(
        update(Attempt)
        .where(
            Attempt.job_id == select(Job.id).where(Job.task_id == task_id).scalar_subquery(),
            Attempt.claim_id == claim_id,
            Attempt.outcome.in_([Ending.LOST, Ending.RELEASED]),
            Attempt.outcome != report.ending,
            Attempt.late_outcome.is_(None),
        )
        .values(
            late_outcome=literal(late, JSONB).op("||")(func.jsonb_build_object("reported_at", func.now()))
        )
    )
    return noted.rowcount == 1


# --- time ------------------------------------------------------------------------------------------


def stage(connection: Connection, limit: int = 1000) -> list[Sendable]:
    """scheduled → pending for the jobs whose time has come."""
    due = select(Job.id).where(Job.state == State.SCHEDULED, Job.run_at <= func.now()).limit(limit)
    rows = connection.execute(
        update(Job)
        .where(Job.id.in_(locked(due, skip=True)), Job.state == State.SCHEDULED)
        .values(state=State.PENDING)
        .returning(*SENDABLE)
    )
    return [sendable(row) for row in rows]


# --- by hand ---------------------------------------------------------------------------------------


def cancel(connection: Connection, ids: Iterable[int]) -> tuple[list[int], list[int]]:
    """blocked | scheduled | pending → cancelled; a running job is stamped with the request.

    Returns:
        The ids cancelled at once, and those that run and will be told.
    """
    rows = connection.execute(
        update(Job)
        .where(
            Job.id.in_(locked(select(Job.id).where(among(Job.id, ids)))),
            Job.state.in_(ACTIVE),
        )
        .values(
            state=case((Job.state.in_(WAITING), State.CANCELLED), else_=Job.state),
            finished_at=case((Job.state.in_(WAITING), func.now()), else_=null()),
            started_at=not_ahead(Job.started_at),
            cancel_requested_at=func.coalesce(Job.cancel_requested_at, func.now()),
        )
        .returning(Job.id, Job.state)
    ).all()
    at_once = sorted(row.id for row in rows if row.state == State.CANCELLED)
    requested = sorted(row.id for row in rows if row.state == State.RUNNING)
    return at_once, requested
