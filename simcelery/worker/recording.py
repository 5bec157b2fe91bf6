"""Write an attempt's end on the board, however long Postgres is away: it may be days of work."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from simcelery import broker
from simcelery.board import engine, transitions
from simcelery.board.states import Cause, Ending
from simcelery.board.transitions import Finished, Guard, Report
from simcelery.errors import ServiceError
from simcelery.failpoints import failpoint
from simcelery.worker.attempt import printable
from simcelery.worker.patience import patiently

log = logging.getLogger(__name__)

# What the worker's parent process could not do at once; the lease does it when the board is back.
_deferred: deque[Callable[[], object]] = deque()


def record(guard: Guard, report: Report, job: uuid.UUID) -> None:
    """From the pool child that ran the attempt: wait as long as it takes."""
    patiently(lambda: _record(guard, report, job), f"job {job}: its end is kept until the board is back")


def record_or_defer(guard: Guard, report: Report, job: uuid.UUID) -> None:
    """From the worker's parent process, whose event loop must not wait."""
    now_or_later(lambda: _record(guard, report, job), f"job {job}: its end is kept until the board is back")


def now_or_later(action: Callable[[], object], waiting: str) -> None:
    """Do it, or have the lease do it when the board is back."""
    try:
        action()
    except ServiceError as error:
        log.warning("%s: %s", waiting, error)
        _deferred.append(action)


def do_deferred() -> None:
    """Do what waits; the board has just answered.

    Raises:
        ServiceError: it is away again; the rest waits on.
    """
    while _deferred:
        _deferred[0]()
        _deferred.popleft()


def _record(guard: Guard, report: Report, job: uuid.UUID) -> None:
    try:
        finished = _write(guard, report)
    except ServiceError:
        raise
    except Exception as error:
        # Postgres refuses what it was given. The job must not stay running: it failed, and says why.
        log.exception("job %s: its outcome cannot be stored", job)
        finished = _write(guard, unexpected(error))
    failpoint("after_finish")
    if finished is None:
        log.warning("job %s: there is nothing to record: this attempt had ended before", job)
        return
    try:
        broker.publish(finished.unblocked)
    except ServiceError as error:
        log.warning("the jobs that waited for job %s will be published later: %s", finished.id, error)


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
