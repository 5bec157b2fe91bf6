"""running → pending for jobs that a worker gives back; counts neither as a failure nor as a loss."""

from __future__ import annotations

import uuid

from sqlalchemy import ColumnElement, Connection, and_, select

from simcelery.board.leases import is_known
from simcelery.board.models import Job
from simcelery.board.states import Cause, Outcome, State
from simcelery.board.transitions.finish import finish_all
from simcelery.board.values import EndedAttempt, FinishedJob, Registration


def release(connection: Connection, me: Registration, cause: Cause = Cause.SHUTDOWN) -> list[FinishedJob]:
    """Release all jobs of a worker that shuts down."""
    return _release(connection, _held_by(me), EndedAttempt(outcome=Outcome.RELEASED, cause=cause))


def release_child(
    connection: Connection, me: Registration, pid: int, running: uuid.UUID
) -> list[FinishedJob]:
    """Release all jobs that a dead pool child held, except the claim that it was running."""
    released = EndedAttempt(
        outcome=Outcome.RELEASED,
        cause=Cause.WORKER_LOST,
        error_message="its pool child died while it ran another job of the slice",
    )
    return _release(connection, and_(_held_by(me), Job.pid == pid, Job.claim_id != running), released)


def _held_by(me: Registration) -> ColumnElement[bool]:
    return and_(Job.state == State.RUNNING, Job.worker_id == me.worker_id, is_known(me))


def _release(connection: Connection, guard: ColumnElement[bool], ended: EndedAttempt) -> list[FinishedJob]:
    held = select(Job.id, Job.claim_id).where(guard).order_by(Job.id).with_for_update()
    return finish_all(connection, [(row.id, row.claim_id) for row in connection.execute(held)], ended)
