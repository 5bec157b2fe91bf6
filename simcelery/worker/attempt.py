"""Run: one attempt of a claimed job, from its stored parameters to a report of how it ended."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from simcelery.board import engine, queries
from simcelery.board.states import Cause, Ending
from simcelery.board.transitions import Claim, Report
from simcelery.errors import ParametersError, SubmissionInterruptedError
from simcelery.execution.capture import captured
from simcelery.execution.usage import Meter
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.submission import lineage
from simcelery.submission.handle import restore
from simcelery.worker import context
from simcelery.worker.context import CurrentJob
from simcelery.worker.patience import patiently
from simcelery.worker.timer import soft_limit
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import check_size, encode, job_refs
from simcelery.workflows.outcomes import Retry

_MESSAGE_LENGTH = 4000
_TRACEBACK_LENGTH = 40_000
# What billiard's handler raises in a pool child that gets SIGTERM.
_TOLD_TO_END = -(256 - signal.SIGTERM)


def run(definition: Definition, claim: Claim) -> Report:
    """Execute the workflow. Whatever it raises, `SystemExit` and `MemoryError` included, is only reported."""
    meter = Meter()
    job = CurrentJob(claim)
    results = patiently(lambda: _results_of(claim), f"job {claim.job_id} waits")
    failpoint("before_run")
    log = ""
    try:
        with _inside(job), captured() as text:
            try:
                encoded = _call(definition, claim, results)
            finally:
                log = text()
        check_size(encoded, f"{definition.name}: result", get_settings().max_payload)
        report: dict[str, Any] = {"ending": Ending.SUCCEEDED, "result": encoded}
    except BaseException as error:
        report = _describe(definition, claim, error)
    failpoint("after_run")
    usage = meter.read()
    folder = job.workdir_if_used
    return Report(
        **report,
        log=printable(log),
        cpu_seconds=usage.cpu_seconds,
        peak_memory=usage.peak_memory,
        workdir=str(folder) if folder else None,
        code_version=definition.code_version,
    )


def _call(definition: Definition, claim: Claim, results: Callable[[int], Any]) -> Any:
    values = definition.parameters.restore(claim.parameters, results)
    with soft_limit(claim.soft_time_limit or claim.time_limit):
        returned = definition.function(**values)
    return encode(returned, f"{definition.name}: result")


@contextmanager
def _inside(job: CurrentJob) -> Iterator[None]:
    context.enter(job)
    lineage.submitting_job = job.id
    try:
        yield
    finally:
        lineage.submitting_job = None
        context.enter(None)


def _results_of(claim: Claim) -> Callable[[int], Any]:
    """Gives the results of the jobs that parameters refer to; they are never copied to the row."""
    wanted = job_refs(claim.parameters)
    found = {}
    if wanted:
        with engine.begin() as connection:
            found = queries.results(connection, wanted)

    def result(number: int) -> Any:
        if number not in found:
            raise ParametersError(f"{claim.workflow}: the result of job {number} is no longer on the board")
        return restore(*found[number])

    return result


def _describe(definition: Definition, claim: Claim, error: BaseException) -> dict[str, Any]:
    if isinstance(error, SystemExit) and error.code == _TOLD_TO_END:
        # The worker is shutting down at once: that is no fault of the workflow's.
        return {"ending": Ending.RELEASED, "cause": Cause.SHUTDOWN, "retry_in": 0.0}
    if isinstance(error, SubmissionInterruptedError) and isinstance(error.__cause__, SoftTimeLimitExceeded):
        error = error.__cause__
    limit = isinstance(error, SoftTimeLimitExceeded)
    name = "TimeLimitError" if limit else type(error).__name__
    retry_in = None
    if definition.retries(error):
        retry_in = definition.backoff(claim.failures + 1, error)
    message = f"it ran longer than its time limit of {_limit(claim):g} s" if limit else _text(error)
    return {
        "ending": Ending.FAILED,
        "cause": Cause.TIME_LIMIT if limit else Cause.ERROR,
        "error_type": name,
        "error_message": message[:_MESSAGE_LENGTH],
        "traceback": _traceback(error),
        "retry_in": retry_in,
    }


def _limit(claim: Claim) -> float:
    return claim.soft_time_limit or claim.time_limit or 0.0


def _text(error: BaseException) -> str:
    try:
        text = str(error) or ("" if not isinstance(error, Retry) else "asked to be tried again")
    except Exception as problem:
        text = f"(its message cannot be read: {type(problem).__name__})"
    return printable(text)


def printable(text: str) -> str:
    """Text that Postgres takes: no NUL, no lone surrogates."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _traceback(error: BaseException) -> str:
    """The traceback from the workflow's own frame on; its end, where it is very long."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == __name__:
        frames = frames.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frames or error.__traceback__)
    except Exception as problem:
        return f"(the traceback cannot be formatted: {type(problem).__name__})"
    return printable("".join(lines))[-_TRACEBACK_LENGTH:]
