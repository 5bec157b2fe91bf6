"""Write an attempt's end on the board, however long Postgres is away: it may be days of work."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from simcelery import broker
from simcelery.board import engine, transitions
from simcelery.board.states import Cause, Ending
from simcelery.board.transitions import Finished, Guard, Report
from simcelery.errors import SchemaError, ServiceError
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.worker import slots, spool, stopping
from simcelery.worker.failure import printable
from simcelery.worker.patience import patiently, waiting_for_schema

log = logging.getLogger(__name__)


def record(job: uuid.UUID, claim_id: uuid.UUID, report: Report) -> None:
    """From the pool child that ran the attempt: wait as long as it takes, with a copy in the spool.

    When the worker must end first, the copy is what is left.
    """
    guard = transitions.by_claim(job, claim_id)

    def attempt() -> None:
        with stopping.recording():
            write(guard, report, job, claim_id)

    try:
        waiting_for_schema(attempt)
    except ServiceError as error:
        log.warning("job %s: its end is kept until the board is back: %s", job, error)
    else:
        return
    spooled = _spool(job, claim_id, report)
    failpoint("after_spool")
    try:
        patiently(
            attempt,
            f"job {job}: its end is kept until the board is back",
            give_up=lambda: spooled and slots.mine.order.ends,
        )
    except ServiceError:
        log.warning("job %s: its end stays in the spool, for the next worker here to deliver", job)
        return
    failpoint("before_spool_removal")
    spool.forget(get_settings(), job, claim_id)


def _spool(job: uuid.UUID, claim_id: uuid.UUID, report: Report) -> bool:
    try:
        spool.save(get_settings(), job, claim_id, report)
    except OSError as error:
        log.error("job %s: its end cannot be spooled, and is lost if this worker is: %s", job, error)
        return False
    return True


def write(guard: Guard, report: Report, job: uuid.UUID, claim_id: uuid.UUID | None) -> None:
    """Finish an attempt, and publish what that unblocks; what comes too late is noted beside the attempt.

    Raises:
        ServiceError: the board is away, and nothing is written.
    """
    try:
        finished = _write(guard, report)
    except (ServiceError, SchemaError):
        raise
    except Exception as error:
        # Postgres refuses what it was given. The job must not stay running: it failed, and says why.
        log.exception("job %s: its outcome cannot be stored", job)
        finished = _write(guard, unexpected(error))
    failpoint("after_finish")
    if finished is None:
        _note_late(job, claim_id, report)
        return
    try:
        broker.publish(finished.unblocked)
    except ServiceError as error:
        log.warning("the jobs that waited for job %s will be published later: %s", finished.id, error)


def _note_late(job: uuid.UUID, claim_id: uuid.UUID | None, report: Report) -> None:
    noted = False
    if claim_id is not None:
        with engine.begin() as connection:
            noted = transitions.note_late(connection, job, claim_id, report)
    if noted:
        log.warning("job %s: this attempt had been given up; what it reported is noted beside it", job)
    else:
        log.info("job %s: there is nothing to record: this attempt had ended before", job)


def _write(guard: Guard, report: Report) -> Finished | None:
    with engine.begin() as connection:
        failpoint("before_finish")
        finished = transitions.finish(connection, guard, report)
        failpoint("before_finish_commit")
    return finished


def unexpected(result: Any) -> Report:
    """Our own code broke after the claim: the job must not stay running."""
    return Report(
        ending=Ending.FAILED,
        cause=Cause.ERROR,
        error_type=type(result).__name__,
        error_message=printable(str(result)),
    )
