"""What a worker's log says when attempts end: one line each, or one per second if many end."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from simcelery.board.states import State
from simcelery.board.values import EndedAttempt, FinishedJob
from simcelery.log_records import about
from simcelery.readable import line
from simcelery.worker import slots
from simcelery.worker.slots.layout import Phase

log = logging.getLogger(__name__)

_SINGLE = 20  # lines of single jobs, before those that end within the same second are counted
_WINDOW = 1.0  # seconds
_LONGEST = 200  # characters of a reason: all of it is on the board

# What the attempt did, and what its job does now.
_HOW = {
    State.FAILED: ("failed", ""),
    State.CANCELLED: ("was cancelled", ""),
    State.SCHEDULED: ("failed", " and is scheduled again"),
    State.PENDING: ("was interrupted", " and is pending again"),
    State.BLOCKED: ("succeeded", " and goes on in another job"),
}


@dataclass
class _Many:
    count: int
    say: Callable[[], None]


def ended(job: FinishedJob, report: EndedAttempt, claim_id: uuid.UUID | None = None) -> None:
    """Log that an attempt has ended, once that is on the board."""
    if not log.isEnabledFor(logging.INFO):
        return
    if job.state is State.SUCCEEDED:
        words, how = partial(_success, job), "succeeded"
    else:
        words, how = partial(_other_end, job, report), _HOW[job.state][0]

    def say() -> None:
        with about(job.id, job.attempt, claim_id):
            log.info("%s", words())

    _told.tell(job.workflow, how, say)


def flush(*, last: bool = False) -> None:
    """Log what was counted, if its second is over or, at the `last` call, in any case."""
    _told.flush(last)


def _success(job: FinishedJob) -> str:
    return f"job {job.id} {job.workflow} succeeded in {_duration(job.took)}"


def _other_end(job: FinishedJob, report: EndedAttempt) -> str:
    how, now = _HOW[job.state]
    return f"job {job.id} {job.workflow} {how} after {_duration(job.took)}{now}{_reason(report)}"


def _reason(report: EndedAttempt) -> str:
    cause = report.cause.replace("_", " ") if report.cause else None
    words = line(": ".join(filter(None, (report.error_type, report.error_message))) or cause or "")
    if len(words) > _LONGEST:
        words = words[:_LONGEST] + "…"
    return f": {words}" if words else ""


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(seconds, 0.0):.3f} s"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"


class _Told:
    """What this process has logged. In a second in which jobs were counted, single lines are left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = 0.0
        self._single = _SINGLE
        self._many: dict[tuple[str, str], _Many] = {}

    def tell(self, workflow: str, how: str, say: Callable[[], None]) -> None:
        """Log it now, or count it: while a job runs, the line would be in the job's output."""
        kind = workflow, how
        beside = slots.mine.phase in (Phase.STARTING, Phase.RUNNING)
        with self._lock:
            if not beside:
                self._turn()
            if self._single and not beside:
                self._single -= 1
                say()
            elif many := self._many.get(kind):
                many.count += 1
            else:
                self._many[kind] = _Many(1, say)

    def flush(self, last: bool) -> None:
        """See the function `flush`."""
        if self._many:
            with self._lock:
                self._turn(last)

    def _turn(self, last: bool = False) -> None:
        passed = time.monotonic() - self._since
        if passed < _WINDOW and not last:
            return
        for (workflow, how), many in self._many.items():
            if many.count == 1:
                many.say()
            else:
                with about():
                    log.info("%s %s jobs %s in %s", f"{many.count:,}", workflow, how, f"{passed:.1f} s")
        self._single = 0 if self._many else _SINGLE
        self._many.clear()
        self._since += passed


_told = _Told()


def _forget() -> None:
    global _told
    _told = _Told()


os.register_at_fork(after_in_child=_forget)
