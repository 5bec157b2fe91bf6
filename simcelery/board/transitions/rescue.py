"""running → pending for jobs of lost workers, or failed if no losses are left."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select

from simcelery.board import patience
from simcelery.board.models import Job, Worker
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.states import Cause, Outcome, State
from simcelery.board.transitions.finish import finish_all
from simcelery.board.values import EndedAttempt, FinishedJob


def rescue(
    connection: Connection,
    *,
    grace: float,
    limit: int,
    judge: int | None = None,
) -> list[FinishedJob]:
    """running → pending for jobs of lost workers (failed if no losses are left).

    Parameters:
        grace: seconds that every worker has to renew after a start of Postgres, and for which the judge
            must have been connected without a gap: one lease.
        limit: most rows in this transaction.
        judge: the worker that judges the others; None: recovery by hand.
    """
    lost = _lost(grace, limit, judge)
    return _rescue(connection, lost, "the worker's lease ended while it ran the job")


@lru_cache(maxsize=16)  # every worker asks it again and again
def _lost(grace: float, limit: int, judge: int | None) -> Select[*tuple[Any, ...]]:
    lost = (
        select(Job.id, Job.claim_id)
        .join(Worker, Worker.id == Job.worker_id)
        .where(Job.state == State.RUNNING, patience.is_over(grace))
        .limit(limit)
    )
    return _held(lost if judge is None else lost.where(_may_judge(judge, grace)))


def _held(jobs: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return jobs.order_by(Job.id).with_for_update(of=Job, skip_locked=True)


def _may_judge(worker_id: int, grace: float) -> ColumnElement[bool]:
    """A worker that was cut off from Postgres at first sees all others as lost.

    So does every worker when Postgres's clock is set forward; a judge must have renewed since then.
    """
    judge = Worker.__table__.alias().c
    return exists().where(
        judge.id == worker_id,
        judge.ended_at.is_(None),
        judge.lease_expires_at > func.now(),
        judge.renewed_at >= func.now() - seconds(grace / 2),
        judge.steady_since <= func.now() - seconds(grace),
    )


def rescue_now(
    connection: Connection,
    worker_ids: Iterable[int],
    limit: int,
    message: str = "the worker died and was started again on the same host",
    cause: Cause = Cause.WORKER_LOST,
) -> list[FinishedJob]:
    """The same at once for jobs of workers noted as dead (`leases.bury`), whose death is certain."""
    orphaned = (
        select(Job.id, Job.claim_id)
        .join(Worker, Worker.id == Job.worker_id)
        .where(Job.state == State.RUNNING, among(Job.worker_id, worker_ids), Worker.ended_at.is_not(None))
        .limit(limit)
    )
    return _rescue(connection, _held(orphaned), message, cause)


def _rescue(
    connection: Connection,
    lost: Select[*tuple[Any, ...]],
    message: str,
    cause: Cause = Cause.WORKER_LOST,
) -> list[FinishedJob]:
    ended = EndedAttempt(
        outcome=Outcome.LOST, cause=cause, error_type="LostWorkerError", error_message=message
    )
    return finish_all(connection, [(row.id, row.claim_id) for row in connection.execute(lost)], ended)
