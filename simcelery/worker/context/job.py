"""`current_job()`: what a workflow may learn and report about the job that runs it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from pydantic_core import to_json

from simcelery.errors import EncodingError, ServiceError
from simcelery.execution import entropy
from simcelery.execution.workdir import Folder
from simcelery.failpoints import failpoint
from simcelery.readable import line, short
from simcelery.settings import get_settings
from simcelery.worker import folders, slots
from simcelery.worker.context.artifacts import Artifacts
from simcelery.worker.context.parents import Parent
from simcelery.worker.context.saved import Saved
from simcelery.worker.waiting import wait_within
from simcelery.workflows.annotations import one_line
from simcelery.workflows.encoding import encode
from simcelery.workflows.steps import Step

if TYPE_CHECKING:
    from simcelery.board.values import Claim

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

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
        self._saved = Saved(claim) if claim else None
        self._artifacts = Artifacts(lambda: self.workdir)
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
    def parents(self) -> list[Parent]:
        """The jobs that this one waited for, in the order of their ids, as they are now.

        Each has an ``id, workflow, state, error`` and ``workdir``, and ``artifact(name)``, the path of a file
        that it has registered. With ``after_any`` they have ended in
        whatever state; one that was retried since may run again.
        """
        if self.id is None:
            return []
        from simcelery.board import dependencies  # not before: clients import this module, too

        number = self.id
        found = wait_within(number, "for what it depends on", lambda: dependencies.parents(number))
        for one in found:
            if one.workdir:
                folders.unpacked(one.id, one.workdir)
        return [Parent(**vars(one), folder=self.workdir) for one in found]

    @property
    def parent_dirs(self) -> list[Path]:
        """The folders in which the parents' last attempts have left files, in the order of their ids."""
        return [Path(one.workdir) for one in self.parents if one.workdir]

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
            failpoint(f"after {message}")
        except Exception as error:  # progress is worth less than the simulation
            from celery.exceptions import SoftTimeLimitExceeded  # not before: clients import this module too

            if isinstance(error, SoftTimeLimitExceeded):
                raise
            if not isinstance(error, ServiceError):
                log.warning("job %s: its progress cannot be stored: %s", self.id, one_line(error))

    def artifact(self, path: str | os.PathLike[str], name: str | None = None) -> Path:
        """Register a file that the job leaves: it is on the board, with its size and its checksum.

        This happens when the workflow has returned, and before its success is recorded; with the setting
        ``artifact_url`` the file is stored then, too. Of an attempt that does not succeed nothing is
        registered. Outside a job the file only has to be there.

        Parameters:
            path: relative to the workdir, or absolute.
            name: what it is called, with slashes; default: its path in the workdir.

        Returns:
            Its absolute path.

        Raises:
            ParametersError: there is no such file, or it cannot be called so.
        """
        return self._artifacts.register(path, name)

    def keep_artifacts(self) -> None:
        """Record and store what was registered; called when the workflow has returned."""
        if self._claim is not None:
            self._artifacts.keep(self._claim)

    @overload
    def step(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def step(self, function: Callable[P, T], /) -> Callable[P, T]: ...
    def step(self, name: Any, function: Any = None, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function and save its output on the board, so that no later attempt calls it again.

        ::

            energy = current_job().step("scf", scf, structure, kpts=4)

        A later attempt, after a crash or a `retry`, finds the output again by the step's name, the arguments,
        the variables of the surrounding function that the function uses, and its code with all that this uses
        of your own modules. If any of these is another one, the function is called again, and the job's log
        says why. A name may be used several times, say in a loop; each call is a step of its own. A step that
        changes an argument in place is not saved: let it return what it changes.

        The output comes from the board also the first time, so it is the same in each attempt: with the type
        that the function's return annotation declares. What the function does besides returning it, such as
        writing files to its attempt's folder, happens only in the attempt that calls it.

        Outside a job, the function is called each time. As a decorator, ``@current_job().step``, it makes
        each call of the function a step with the function's name.

        Parameters:
            name: of the step, for people: at most 200 characters.
            function: any function.
            args, kwargs: its arguments; anything that a parameter of a workflow may be.

        Raises:
            EncodingError: an argument or the output cannot be stored.
            ParametersError: the arguments do not fit the function.
            UsageError: the name cannot be one.
        """
        if not isinstance(name, str) and function is None and callable(name):
            return self._step_of(name)
        step = Step(name, function, args, kwargs)
        if self._saved is None:
            return step.restored(step.stored(function(*args, **kwargs), get_settings().max_payload))
        return self._saved.step(step, lambda: function(*args, **kwargs))

    def _step_of(self, function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def made(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.step(function.__name__, function, *args, **kwargs)

        return made

    def checkpoint(self, state: Any) -> None:
        """Save what a later attempt needs to go on from here, in place of what was saved before.

        When it returns, the board has it for certain, unless it cannot be reached: then the worker's log says
        so, and the simulation goes on. It takes some milliseconds. Outside a job, nothing is saved.

        Parameters:
            state: anything that a workflow may return; it comes back as it was. For more than ``max_payload``
                write a file, and save its path.

        Raises:
            EncodingError: it cannot be stored, or is too large.
        """
        if self._saved is not None:
            self._saved.save_checkpoint(state)

    @property
    def last_checkpoint(self) -> Any:
        """What `checkpoint` saved last, in this attempt or an earlier one; None if nothing was."""
        return None if self._saved is None else self._saved.last_checkpoint()

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


def step(name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function as a step of the job that is running here: see `CurrentJob.step`."""
    return _current.step(name, function, *args, **kwargs)


def artifact(path: str | os.PathLike[str], name: str | None = None) -> Path:
    """Register a file that the job running here leaves: see `CurrentJob.artifact`."""
    return _current.artifact(path, name)


def current_claim() -> Claim | None:
    """By which this process holds its job."""
    return _current._claim


def enter(job: CurrentJob | None) -> None:
    """Set the job that this process runs: a pool child runs one at a time."""
    global _current
    _current = job or _OUTSIDE
