"""`current_job()`: what a workflow may learn and report about the job that runs it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from simcelery.errors import EncodingError, ServiceError
from simcelery.execution import entropy
from simcelery.execution.workdir import Folder
from simcelery.failpoints import failpoint
from simcelery.readable import line, short
from simcelery.worker import slots
from simcelery.workflows.annotations import one_line
from simcelery.workflows.encoding import encode

if TYPE_CHECKING:
    from simcelery.board.values import Claim

log = logging.getLogger(__name__)

_MESSAGE_LENGTH = 1000
_PROGRESS_EVERY = 1.0  # seconds between two writes to the board


class CurrentJob:
    """The job that is running here.

    Outside a job (in a plain call of the workflow, in a test) `id` is None, `attempt` is 0, `workdir` is
    the current folder, and progress is ignored: the same code runs in both places.

    Attributes:
        id: the job's id, or None.
        attempt: 1 for the first execution.
        workflow: the workflow's name, or "".
        tags: the job's tags.
        reported: its progress, as it was last reported.
    """

    def __init__(self, claim: Claim | None = None, folder: Folder | None = None) -> None:
        self._claim = claim
        self._folder = folder
        self.id = claim.job_id if claim else None
        self.attempt = claim.attempt if claim else 0
        self.workflow = claim.workflow if claim else ""
        self.tags = claim.tags if claim else ()
        self.reported: dict[str, Any] | None = None
        self._reported_at = float("-inf")

    def __repr__(self) -> str:
        return f"<CurrentJob {self._described()}>"

    def _repr_html_(self) -> str:
        from simcelery.submission import notebook

        return notebook.facts("the current job", [("job", self._described()), ("tags", ", ".join(self.tags))])

    def _described(self) -> str:
        if self.id is None:
            return "outside of a job"
        return f"{self.id}, attempt {self.attempt} of {line(self.workflow)}"

    @property
    def workdir(self) -> Path:
        """This attempt's own folder, in which the workflow runs. If it stays empty, it is removed at the end,
        unless you have asked for it here.
        """
        return Path.cwd() if self._folder is None else self._folder.ask()

    @property
    def seed(self) -> int | None:
        """The seed of this attempt's random numbers, or of ``simcelery run --seed``; or None.

        For your own generators: ``numpy.random.default_rng(current_job().seed)``.
        """
        return entropy.current

    def should_stop(self) -> bool:
        """Whether this attempt should save its work and exit, because its worker is about to.

        The worker was told to shut down, or its allocation is about to end. From then on, the attempt has
        ``shutdown_grace`` seconds. Unless it succeeds or raises `Fail` within them, it is released however
        it exits: the job runs again elsewhere, and no failure is counted.
        """
        return self._claim is not None and slots.mine.should_stop()

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report the job's progress. Call it as often as you like: the board is told at most once a second.

        No error in it ever ends the job: if it cannot be stored, the worker's log says so.

        Parameters:
            done: how much is done, in any unit.
            total: the total amount, if it is known.
            message: a few words.
        """
        if self._claim is None:
            return
        try:
            now = time.monotonic()
            complete = total is not None and bool(done >= total)
            if now - self._reported_at >= _PROGRESS_EVERY or complete:
                self._reported_at = now
                self._store(self._claim, done, total, message)
            failpoint("after_progress")
            failpoint(f"after_progress {message}")
        except Exception as error:  # progress is worth less than the simulation
            from celery.exceptions import SoftTimeLimitExceeded  # not before: clients import this module too

            if isinstance(error, SoftTimeLimitExceeded):
                raise
            if not isinstance(error, ServiceError):
                log.warning("job %s: its progress cannot be stored: %s", self.id, one_line(error))

    def _store(self, claim: Claim, done: float, total: float | None, message: str) -> None:
        report = encode({"done": done, "total": total}, "progress")
        for name, given in (("done", done), ("total", total)):
            if isinstance(report[name], bool | str | list | dict):
                raise EncodingError(f"{name} must be a finite number, not {short(given)}")
        report["message"] = encode(str(message)[:_MESSAGE_LENGTH], "message")
        if not slots.mine.report(to_json(report)):
            from simcelery.board import engine, progress

            with engine.begin() as connection:
                progress.save_progress(connection, claim.job_id, claim.claim_id, report)
        self.reported = report


_OUTSIDE = CurrentJob()
_current = _OUTSIDE


def current_job() -> CurrentJob:
    """The job that is running here, whatever the thread; outside a job, one without an id."""
    return _current


def enter(job: CurrentJob | None) -> None:
    """Set the job that this process runs: a pool child runs one at a time."""
    global _current
    _current = job or _OUTSIDE
