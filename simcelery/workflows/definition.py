"""A workflow: a registered function and the conditions under which its jobs run."""

from __future__ import annotations

import hashlib
import inspect
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Literal

from simcelery import needs
from simcelery.errors import DefinitionError
from simcelery.quantities import parse_duration
from simcelery.readable import short
from simcelery.settings import KEEP, Keep, Settings, is_keep
from simcelery.workflows import loaded
from simcelery.workflows.outcomes import Fail, Retry
from simcelery.workflows.parameters import Parameters
from simcelery.workflows.source import fingerprint

DEFAULT_PRIORITY = 4
MAX_BACKOFF = 3600.0


class Definition:
    """One workflow.

    Parameters:
        function: what runs. Every parameter needs an annotation.
        name: default ``module.function``; also the Celery task name.
        queue: default: the setting ``default_queue``.
        priority: 0 to 9, higher runs first.
        max_attempts: how many attempts a job has if the workflow itself fails; 1 means no retry.
        max_losses: how many lost workers, walltime ends and out-of-memory kills a job survives.
        time_limit: seconds, ``"24h"`` or a timedelta, after which a job is stopped.
        soft_time_limit: the time after which `SoftTimeLimitExceeded` is raised inside the workflow, so that
            it can save what it has; shorter than ``time_limit``. Default: ``time_limit``, with the setting
            ``kill_grace`` before the kill.
        time_request: how long a job takes: a worker whose allocation ends sooner does not begin it. Default:
            what the record of earlier jobs says, else the ``time_limit``.
        cores: how many it keeps busy; also how many threads numerical libraries use.
        memory: bytes, or ``"8G"``, that all processes of a job may use together; one that uses more is ended.
        on: what the next attempt gets after one that ended for want of memory or time; see `escalation`.
        gpus: how many it has for itself. A worker begins a job only if what it asks for is free there.
        retry_on: exceptions worth another attempt; default: all.
        retry_delay: seconds before the second attempt; doubled before each further one, up to an hour. A
            random tenth at most is added.
        cwd: the folder it runs in: the attempt's own (``workdir``) or the ``worker``'s.
        keep: which workdirs stay when a job has ended: ``all``; only those of jobs that ``failed``;
            ``none``; or all, each ``compressed`` to one file. Default: the setting ``keep_workdirs``.
        slices: whether short jobs of this workflow may be claimed and finished together.
        version: change it when ``dedupe`` should no longer reuse old results.

    Attributes:
        source: the fingerprint of its source when it was defined; see `source.fingerprint`.

    Raises:
        DefinitionError: the function or an option cannot be used; one line says why.
    """

    kind_of_parameters = Parameters
    _lines: list[str] | None = None

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int = 1,
        max_losses: int = 5,
        time_limit: float | str | timedelta | None = None,
        soft_time_limit: float | str | timedelta | None = None,
        time_request: float | str | timedelta | None = None,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        on: Mapping[str, Mapping[str, Any]] | None = None,
        retry_on: Iterable[type[BaseException]] | type[BaseException] | None = None,
        retry_delay: float | str | timedelta = 5.0,
        slices: bool = True,
        cwd: Literal["workdir", "worker"] = "workdir",
        keep: Keep | None = None,
        version: str = "1",
    ) -> None:
        if not is_ordinary(function):
            raise DefinitionError(
                f"{_describe(function)} cannot be a workflow; decorate an ordinary function (no class, "
                "coroutine, generator or partial)"
            )
        self.function = function
        self.name = _word("workflow", "name", default_name(function) if name is None else name)
        # A module called __main__ is a notebook or a prompt: a script goes by the name of its file.
        if "<lambda>" in self.name or "<locals>" in self.name or self.name.startswith("__main__."):
            raise DefinitionError(
                f"{self.name}: a worker could not import it; define the workflow at the top of a module, "
                "or give it a name of its own with @workflow(name=…)"
            )
        self.queue = None if queue is None else _word(f"workflow {self.name}:", "queue", queue)
        self.priority = _within(self.name, "priority", priority, 0, 9)
        self.max_attempts = _within(self.name, "max_attempts", max_attempts, 1, 10_000)
        self.max_losses = _within(self.name, "max_losses", max_losses, 0, 10_000)
        self.time_limit = _seconds(self.name, "time_limit", time_limit)
        self.soft_time_limit = _seconds(self.name, "soft_time_limit", soft_time_limit)
        if self.time_limit and self.soft_time_limit and self.soft_time_limit >= self.time_limit:
            raise DefinitionError(
                f"workflow {self.name}: soft_time_limit must be below time_limit, and "
                f"{self.soft_time_limit:g} s is not below {self.time_limit:g} s"
            )
        self.time_request = _seconds(self.name, "time_request", time_request)
        try:
            self.needs = needs.asked(cores=cores, memory=memory, gpus=gpus, on=on)
        except ValueError as error:
            raise DefinitionError(f"workflow {self.name}: {error}") from None
        self.retry_on = _exceptions(self.name, retry_on)
        self.retry_delay = _seconds(self.name, "retry_delay", retry_delay) or 0.0
        if not isinstance(slices, bool):
            raise DefinitionError(f"workflow {self.name}: slices must be True or False, not {slices!r}")
        self.slices = slices
        if cwd not in ("workdir", "worker"):
            raise DefinitionError(
                f"workflow {self.name}: cwd must be 'workdir' or 'worker', not {short(cwd)}"
            )
        self.cwd = cwd
        if keep is not None and not is_keep(keep):
            raise DefinitionError(f"workflow {self.name}: keep must be {KEEP}, not {short(keep)}")
        self.keep = keep
        self.version = _word(f"workflow {self.name}:", "version", version)
        self.parameters = self.kind_of_parameters(self.name, function)
        self.source = fingerprint(function)
        update_wrapper(self, function, updated=())  # attributes of the function must not become options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the workflow here and now: no board, no worker. Parameters are validated all the same."""
        return self.function(**self.parameters.validate(self.parameters.bind(args, kwargs)))

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def keep_code(self) -> None:
        """Let `code_version` be of the code that is loaded now, whatever becomes of its file."""
        with suppress(Exception):  # it has none
            self._lines = loaded.file_of(self.function)

    @cached_property
    def code_version(self) -> str:
        """The declared version and a hash of the function's source, for the record of each attempt."""
        try:
            lines = loaded.file_of(self.function) if self._lines is None else self._lines
            source = loaded.source(self.function, lines)
        except Exception:  # there is none, or the file has changed since its import, and is no Python now
            return self.version
        return f"{self.version}+{hashlib.sha256(source.encode()).hexdigest()[:10]}"

    def source_now(self) -> str:
        """`source` as its files would give it now."""
        return fingerprint(self.function)

    def retries(self, error: BaseException) -> bool:
        """Whether an error of this kind is worth another attempt, if any is left."""
        if isinstance(error, Retry):
            return True
        if isinstance(error, Fail):
            return False
        return self.retry_on is None or isinstance(error, self.retry_on)

    def backoff(self, failures: int, error: BaseException | None = None) -> float:
        """Seconds until the next attempt, after `failures` failures (at least one)."""
        if isinstance(error, Retry) and error.delay is not None:
            return max(0.0, error.delay)
        # Up to a tenth is added, so that jobs that failed together do not come back together.
        delay = self.retry_delay * 2.0 ** max(0, min(failures - 1, 30))
        return min(delay, max(MAX_BACKOFF, self.retry_delay)) * random.uniform(1.0, 1.1)

    def defaults(self, settings: Settings) -> dict[str, Any]:
        """What a job of this workflow gets where its submission says nothing."""
        return {
            "queue": self.queue or settings.default_queue,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "max_losses": self.max_losses,
            "time_limit": self.time_limit,
            "soft_time_limit": self.soft_time_limit,
            "time_request": self.time_request,
            **vars(self.needs),
            "keep": self.keep,
        }


def idempotency_key(name: str, version: str, encoded: Mapping[str, Any]) -> str:
    """The key that ``dedupe`` uses: a workflow's name, its declared version and canonical parameters."""
    canonical = json.dumps([name, version, encoded], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_digest(key: str | None) -> bool:
    """Whether a key may be one that ``dedupe`` made, or is another digest: one of what the job is to do."""
    return key is not None and _DIGEST.fullmatch(key) is not None


_DIGEST = re.compile("[0-9a-f]{64}")


def default_name(function: Callable[..., Any]) -> str:
    """``module.function``; a script's module is the name that a worker can import it by."""
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}.{getattr(function, '__qualname__', function)}"


def is_ordinary(function: Any) -> bool:
    """Whether a call of it runs to its end and gives a value: no class, coroutine or generator."""
    other = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return (
        callable(function)
        and hasattr(function, "__qualname__")
        and not inspect.isclass(function)
        and not any(is_other(function) for is_other in other)
    )


def _describe(function: Any) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if name else " ".join(repr(function).split())


def _word(what: str, option: str, value: str) -> str:
    if not isinstance(value, str) or not value or any(char.isspace() or char == "\0" for char in value):
        raise DefinitionError(f"{what} {option} must be text without spaces, not {short(value)}")
    return value


def _exceptions(
    name: str, given: Iterable[type[BaseException]] | type[BaseException] | None
) -> tuple[type[BaseException], ...] | None:
    if given is None:
        return None
    kinds = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise DefinitionError(
                f"workflow {name}: retry_on takes exception classes, such as (ValueError,), not {short(kind)}"
            )
    return kinds


def _within(name: str, option: str, value: int, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DefinitionError(
            f"workflow {name}: {option} must be a whole number from {low} to {high}, not {short(value)}"
        )
    return value


def _seconds(name: str, option: str, value: float | str | timedelta | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise DefinitionError(f"workflow {name}: {option}: {error}") from None
    if seconds < 0 or (seconds == 0 and option != "retry_delay"):
        raise DefinitionError(f"workflow {name}: {option} must be a positive duration, not {short(value)}")
    return seconds
