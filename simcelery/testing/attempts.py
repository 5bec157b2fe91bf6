"""One attempt in the process of the tests; in a fork of it, if it is to crash."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from typing import NoReturn

from simcelery import failpoints
from simcelery.board import transitions
from simcelery.board.states import Outcome
from simcelery.board.values import EndedAttempt, JobToPublish
from simcelery.execution import clean
from simcelery.settings import get_settings
from simcelery.worker.child import slicing
from simcelery.worker.outcomes import finish, reports, spool
from simcelery.workflows import registry

# Moments in the life of every attempt, and the failpoints there.
POINTS = {
    "claim": "after_claim",
    "run": "after_run",
    "finish": "after_finish",
    "progress": "after_progress",
    "step": "after_step",
    "checkpoint": "after_checkpoint",
}


_RAN, _MISSED, _BROKEN = 0, 2, 1  # how a fork exits


@dataclass(frozen=True)
class Crash:
    """Where an attempt is to be killed: at this failpoint, when it comes there for the `nth` time."""

    failpoint: str
    nth: int


def run(job: JobToPublish, crashes: list[Crash]) -> bool:
    """Claim, run and finish a job; whether it was there to be claimed.

    Parameters:
        crashes: the first of them is armed, and removed when it has happened.
    """
    return _run_in_fork(job, crashes) if crashes else _run(job, uuid.uuid4())


def _run(job: JobToPublish, claim_id: uuid.UUID) -> bool:
    clean.forget()  # the tests may have changed this process
    with _printing(), _alarm_kept():
        done = slicing.run(registry.get(job.workflow), job.task_id, claim_id, job.lane)
    if done is None:
        return False
    _, ended, _ = done
    if ended.outcome is not Outcome.SUCCEEDED:
        print(f"job {job.id} ({job.workflow}) {ended.outcome}: {_why(ended)}", file=sys.stderr)
    return True


def _why(ended: EndedAttempt) -> str:
    return ended.traceback or f"{ended.error_type or ended.cause}: {ended.error_message}"


@contextmanager
def _printing() -> Iterator[None]:
    """What a job prints goes to the descriptors that are captured for its log, and not to pytest's own."""
    with (
        open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as out,
        open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        yield


@contextmanager
def _alarm_kept() -> Iterator[None]:
    """The time limit of the test goes on afterwards, where it uses the signal that a job's does."""
    began, (left, every) = time.monotonic(), signal.getitimer(signal.ITIMER_REAL)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), every)


def _run_in_fork(job: JobToPublish, crashes: list[Crash]) -> bool:
    """An attempt that is to be killed takes a process of its own with it, and leaves the tests alone."""
    claim_id = uuid.uuid4()
    sys.stdout.flush()
    sys.stderr.flush()
    if (pid := os.fork()) == 0:
        _be_fork(job, claim_id, crashes[0])
    _, status = os.waitpid(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it had started
    if os.WIFEXITED(status):
        if os.WEXITSTATUS(status) == _BROKEN:
            raise RuntimeError(f"job {job.id} could not be run in a fork of this process: see above")
        return os.WEXITSTATUS(status) == _RAN
    if os.WTERMSIG(status) == signal.SIGKILL:
        del crashes[0]
    _tell_lost(job, claim_id, signal.Signals(os.WTERMSIG(status)).name)
    return True


def _be_fork(job: JobToPublish, claim_id: uuid.UUID, crash: Crash) -> NoReturn:
    status = _BROKEN
    try:
        os.setsid()
        failpoints.arm(crash.failpoint, f"kill@{crash.nth}")
        status = _RAN if _run(job, claim_id) else _MISSED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tell_lost(job: JobToPublish, claim_id: uuid.UUID, killed_by: str) -> None:
    """As a worker's parent process does: an outcome that the attempt could still write down counts more."""
    if not spool.deliver_claim(get_settings(), job.task_id, claim_id):
        report = reports.lost(f"the process that ran it was ended by {killed_by}", out_of_memory=False)
        finish.write(transitions.by_claim(job.task_id, claim_id), report, job.task_id, claim_id)
