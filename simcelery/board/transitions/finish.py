"""running → the state that the outcome leads to, and what that means for the job's dependents.

One rule for every outcome, alone or in a slice: the functions `finish_attempts` and `state_after` of the
schema. Every end of an attempt comes through here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from simcelery.board import engine, sql
from simcelery.board.leases import is_known
from simcelery.board.models import Attempt, Job
from simcelery.board.progress import log_of
from simcelery.board.states import Outcome, State
from simcelery.board.to_publish import job_to_publish
from simcelery.board.values import EndedAttempt, FinishedJob, JobToPublish, Registration
from simcelery.failpoints import failpoint

Guard = ColumnElement[bool]


def by_claim(task_id: uuid.UUID, claim_id: uuid.UUID) -> Guard:
    """The job, as long as nobody has made a newer claim; for the process that claimed it."""
    return and_(Job.task_id == task_id, Job.claim_id == claim_id)


def by_child(task_id: uuid.UUID, me: Registration, pid: int) -> Guard:
    """The job, while it runs in this pool child; for its parent process, which does not know the claim."""
    return and_(Job.task_id == task_id, Job.worker_id == me.worker_id, Job.pid == pid, is_known(me))


def finish(connection: Connection, guard: Guard, ended: EndedAttempt) -> FinishedJob | None:
    """Finish the attempt of the job that the guard lets through; None: it is no longer that attempt's.

    A success is accepted as long as no newer claim was made, even if the worker was thought dead and the
    job is already waiting to run again.
    """
    row = connection.execute(select(Job.id, Job.claim_id).where(guard)).one_or_none()
    if row is None:
        return None
    jobs = finish_all(connection, [(row.id, row.claim_id)], ended)
    return jobs[0] if jobs else None


def finish_all(
    connection: Connection,
    attempts: Sequence[tuple[int, uuid.UUID | None]],
    ended: EndedAttempt,
    then_id: int | None = None,
) -> list[FinishedJob]:
    """The same for attempts that all ended in the same way.

    Parameters:
        attempts: the id of each job and of its claim.
        then_id: the job in which it goes on, which has been recorded.
    """
    if not attempts:
        return []
    alike = _given(ended, time.monotonic()) | ({"then_id": then_id} if then_id else {})
    given = [{**alike, "id": number, "claim_id": claim and claim.hex} for number, claim in attempts]
    rows = sql.execute(connection, "finish", ended=engine.as_json(given))
    return finished(rows.mappings().all())


def finish_at_once(ended: Sequence[EndedAttempt]) -> list[FinishedJob]:
    """Finish attempts of jobs whose ids are known, as one transaction and in one round trip.

    Left out are those whose job no longer belongs to the attempt: `finish` handles them.

    Parameters:
        ended: attempts with the same outcome.
    """
    asked = finishing(ended)
    failpoint("before_finish")
    return finished(engine.one_round_trip(*asked))


def finishing(ended: Sequence[EndedAttempt]) -> tuple[str, dict[str, Any]]:
    """The statement that finishes these attempts, which have the same outcome, and its parameters."""
    now = time.monotonic()
    given = [{**_given(one, now), "id": one.job_id, "claim_id": one.claim_id.hex} for one in ended]
    return sql.statement("finish"), {"ended": engine.as_json(given)}


# What the function reads of an attempt. The less is written the better: it is a good part of its work.
_READ = (
    "outcome",
    "cause",
    "result",
    "error_type",
    "error_message",
    "traceback",
    "retry_in",
    "cpu_seconds",
    "peak_memory",
    "workdir",
    "code_version",
    "seed",
    "progress",
)


def _given(ended: EndedAttempt, now: float) -> dict[str, Any]:
    """What the function reads about an attempt; what is left out is NULL there."""
    told = {name: value for name in _READ if (value := getattr(ended, name)) is not None}
    return told | log_of(ended) | {"waited": ended.waited, "ago": max(ended.seconds_ago(now), 0.0)}


def finished(rows: Sequence[Mapping[Any, Any]]) -> list[FinishedJob]:
    """From rows of `finish_attempts`: the finished jobs, each with those that it was the last to unblock."""
    unblocked: dict[int, list[JobToPublish]] = {}
    gone_on: dict[int, list[int]] = {}
    for row in rows:
        if (last := row["unblocked_by"]) is None:
            continue
        if row["state"] == State.BLOCKED:
            gone_on.setdefault(last, []).append(row["id"])
        else:
            unblocked.setdefault(last, []).append(job_to_publish(row))
    return [
        _finished_job(row, unblocked.get(row["id"], ()), gone_on.get(row["id"], ()))
        for row in rows
        if row["unblocked_by"] is None
    ]


def _finished_job(
    row: Mapping[Any, Any], unblocked: Sequence[JobToPublish], gone_on: Sequence[int]
) -> FinishedJob:
    state = State(row["state"])
    return FinishedJob(
        id=row["id"],
        task_id=row["task_id"],
        state=state,
        attempt=row["attempt"],
        workflow=row["workflow"],
        took=row["took"],
        unblocked=tuple(unblocked),
        again=job_to_publish(row) if state is State.PENDING else None,
        gone_on=tuple(gone_on),
    )


def note_late(connection: Connection, task_id: uuid.UUID, claim_id: uuid.UUID, report: EndedAttempt) -> bool:
    """Keep what a worker that was thought dead reports about an attempt, if it can no longer count.

    Only the first report about an attempt that was lost or released is kept; one that is delivered twice is
    not late.
    """
    late: dict[str, Any] = {"outcome": str(report.outcome)}
    if report.outcome is Outcome.SUCCEEDED:
        late["result"] = report.result
    else:
        late |= {"error_type": report.error_type, "error_message": report.error_message}
    noted = connection.execute(
        update(Attempt)
        .where(
            Attempt.job_id == select(Job.id).where(Job.task_id == task_id).scalar_subquery(),
            Attempt.claim_id == claim_id,
            Attempt.outcome.in_([Outcome.LOST, Outcome.RELEASED]),
            Attempt.outcome != report.outcome,
            Attempt.late_outcome.is_(None),
        )
        .values(
            late_outcome=literal(late, JSONB).op("||")(func.jsonb_build_object("reported_at", func.now()))
        )
    )
    return noted.rowcount == 1
