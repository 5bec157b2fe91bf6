"""Write the end of an attempt to the board, however long Postgres is unreachable: it may be days of work."""

from __future__ import annotations

import json
import logging
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from simcelery import broker
from simcelery.board import engine, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.transitions.finish import Guard
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.board.values import EndedAttempt, FinishedJob, Registration
from simcelery.errors import BoardChangedError, SchemaError, ServiceError
from simcelery.failpoints import failpoint
from simcelery.log_records import about
from simcelery.settings import get_settings
from simcelery.worker import slots, stopping
from simcelery.worker.outcomes import endings, gone_on, spool
from simcelery.worker.outcomes.failure import as_ascii, ascii_only, printable
from simcelery.worker.waiting import wait_out, waiting_for_schema

log = logging.getLogger(__name__)


def publish(job: FinishedJob) -> None:
    """Publish the jobs that this one has unblocked."""
    broker.publish_or_leave(job.unblocked, f"the jobs that waited for job {job.id}")


Publish = Callable[[FinishedJob], object]
Write = Callable[[Sequence[EndedAttempt]], list[FinishedJob]]


def finish(
    outcomes: Sequence[EndedAttempt], publish: Publish = publish, last: Write | None = None
) -> list[FinishedJob]:
    """Record outcomes in the pool child that ran them: wait as long as it takes, with a copy in the spool.

    If the worker must exit first, the copy remains.

    Parameters:
        publish: what is done about the jobs that each of them has unblocked.
        last: what finishes the last of those that ended alike; None: as the others.

    Returns:
        The jobs whose attempts are now on the board, without those that had been given up before.
    """

    upgraded = False

    def attempt() -> list[FinishedJob]:
        nonlocal upgraded
        try:
            with stopping.finishing():
                return write_all(outcomes, publish, last)
        except BoardChangedError:
            upgraded = True
            raise

    def leave() -> bool:
        """To the next worker, whose version may be the one that fits."""
        return all(spooled) and (slots.mine.order.ends or (upgraded and slots.mine.is_closed()))

    jobs = _names(outcomes)
    try:
        return waiting_for_schema(attempt)
    except ServiceError as error:
        log.warning("%s: kept until the board is back: %s", jobs, error)
    spooled = [_spool(outcome) for outcome in outcomes]
    failpoint("after_spool")
    try:
        finished = wait_out(
            attempt,
            f"{jobs}: kept until the board is back",
            give_up=leave,
        )
    except ServiceError:
        log.warning("%s: it stays in the spool, for the next worker here to deliver", jobs)
        return []
    failpoint("before_spool_removal")
    for outcome in outcomes:
        spool.forget(get_settings(), outcome.task_id, outcome.claim_id)
    return finished


def _names(outcomes: Sequence[EndedAttempt]) -> str:
    more = f" and of {len(outcomes) - 1:,} more" if len(outcomes) > 1 else ""
    return f"the outcome of job {outcomes[0].task_id}{more}"


def _spool(outcome: EndedAttempt) -> bool:
    try:
        spool.save(get_settings(), outcome.task_id, outcome.claim_id, _report(outcome))
    except OSError as error:
        log.error(
            "job %s: its outcome cannot be spooled, and will be lost if this worker dies: %s",
            outcome.task_id,
            error,
        )
        return False
    return True


def write_all(
    outcomes: Sequence[EndedAttempt], publish: Publish = publish, last: Write | None = None
) -> list[FinishedJob]:
    """Finish attempts: successes together, failures together, all others, and jobs that go on, one by one.

    Parameters:
        As `finish`.

    Returns:
        The finished jobs, without those whose attempt had been given up before.

    Raises:
        ServiceError: the board is unreachable; some may be written, and writing them again does no harm.
    """
    finished: list[FinishedJob] = []
    groups = [
        [one for one in outcomes if one.job_id and one.outcome is outcome and one.then is None]
        for outcome in (Outcome.SUCCEEDED, Outcome.FAILED)
    ]
    groups = [alike for alike in groups if alike]
    for alike in groups:
        at_once = last if last and alike is groups[-1] else transitions.finish_at_once
        finished += _together(alike, publish, at_once)
    done = {job.id for job in finished}
    for one in outcomes:
        if one.job_id not in done:
            guard = transitions.by_claim(one.task_id, one.claim_id)
            with _in_log(one):
                if job := write(guard, _report(one), one.task_id, one.claim_id, publish):
                    finished.append(job)
    return finished


def _in_log(one: EndedAttempt) -> AbstractContextManager[None]:
    """What is logged in the block tells of this attempt: of a slice, another one may have run last."""
    if slots.mine.tells_of(one.claim_id):
        return nullcontext()
    return about(one.job_id, claim=one.claim_id)


def _report(outcome: EndedAttempt) -> EndedAttempt:
    return replace(outcome, ago=outcome.seconds_ago(time.monotonic()), ended=None)


def _together(outcomes: Sequence[EndedAttempt], publish: Publish, at_once: Write) -> list[FinishedJob]:
    """Finish attempts with the same outcome in one round trip; return the jobs that were finished."""
    try:
        finished = at_once(outcomes)
    except (ServiceError, SchemaError):
        raise
    except Exception:
        log.exception("Postgres refuses %s; trying them one by one", _names(outcomes))
        return []
    failpoint("after_finish")
    reports = {one.job_id: one for one in outcomes}
    for job in finished:
        endings.ended(job, reports[job.id], reports[job.id].claim_id)
        publish(gone_on.settle(job))
    return finished


def write(
    guard: Guard,
    report: EndedAttempt,
    job: uuid.UUID,
    claim_id: uuid.UUID | None,
    publish: Publish = publish,
) -> FinishedJob | None:
    """Finish an attempt, and publish the jobs that it unblocks; a late outcome is kept with the attempt.

    Returns:
        The finished job; None: it came too late.

    Raises:
        ServiceError: the board is unreachable, and nothing was written.
    """
    try:
        finished = despite_bad_rows(lambda: _write(guard, report))
    except (ServiceError, SchemaError):
        raise
    except Exception as error:
        engine.check_still_fits()  # if not, it is kept for a worker that does
        log.exception("job %s: its outcome cannot be stored", job)
        finished = _write_less(guard, report, job, error)
    failpoint("after_finish")
    if finished is None:
        _note_late(job, claim_id, report)
    else:
        endings.ended(finished, report, claim_id)
        publish(gone_on.settle(finished))
    return finished


def _write_less(guard: Guard, report: EndedAttempt, job: uuid.UUID, error: Exception) -> FinishedJob | None:
    """Postgres refuses what it was given; write less, since the job must not stay running."""
    less = replace(
        report,
        log=as_ascii(report.log),
        error_message=report.error_message and ascii_only(report.error_message),
        traceback=report.traceback and ascii_only(report.traceback),
    )
    try:  # a database of an old encoding: what was printed is worth less than what was returned
        return _write(guard, less)
    except (ServiceError, SchemaError):
        raise
    except Exception:
        failed = unexpected(error)
        message = f"{ascii_only(failed.error_message or '')}{_kept(report, job)}"
        return _write(guard, replace(failed, error_message=message, workdir=report.workdir))


def _kept(report: EndedAttempt, job: uuid.UUID) -> str:
    if report.outcome is not Outcome.SUCCEEDED:
        return ""
    host = socket.gethostname()
    path = Path(report.workdir or get_settings().workdirs) / f"result-{job}.json"
    try:
        path.write_text(json.dumps(report.result))
    except OSError as error:
        return f"; what it returned could not be kept in {host}:{path}: {error.strerror}"
    return f"; what it returned is kept in {host}:{path}"


def _note_late(job: uuid.UUID, claim_id: uuid.UUID | None, report: EndedAttempt) -> None:
    noted = False
    if claim_id is not None:
        with engine.begin() as connection:
            noted = transitions.note_late(connection, job, claim_id, report)
    if noted:
        log.warning(
            "job %s: this attempt had been given up; what it reported is only kept with the attempt", job
        )
    else:
        log.info("job %s: nothing to record: this attempt had already ended", job)


def _write(guard: Guard, report: EndedAttempt) -> FinishedJob | None:
    with engine.begin() as connection:
        failpoint("before_finish")
        finished = transitions.finish(connection, guard, report)
        failpoint("before_finish_commit")
    return finished


def release_siblings(me: Registration, pid: int, running: uuid.UUID) -> None:
    """A pool child died with a slice: release all its jobs but the one that ran.

    Raises:
        ServiceError: the board is unreachable.
    """
    with engine.begin() as connection:
        released = transitions.release_child(connection, me, pid, running)
    if released:
        log.info("%s jobs of a slice are pending again: their pool child died", len(released))


def unexpected(result: Any) -> EndedAttempt:
    """Our own code failed after the claim; record that, since the job must not stay running."""
    return EndedAttempt(
        outcome=Outcome.FAILED,
        cause=Cause.ERROR,
        error_type=type(result).__name__,
        error_message=printable(str(result)),
    )
