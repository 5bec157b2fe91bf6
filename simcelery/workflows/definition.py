"""A workflow: a registered function and the conditions under which its jobs run."""

from __future__ import annotations

import hashlib
import inspect
import json
import random
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any

from simcelery.errors import DefinitionError
from simcelery.settings import parse_duration
from simcelery.workflows.outcomes import Fail, Retry
from simcelery.workflows.parameters import Parameters

DEFAULT_PRIORITY = 4
MAX_BACKOFF = 3600.0


class Definition:
    """One workflow.

    Parameters:
        function: what runs. Every parameter needs an annotation.
        name: default ``module.function``; also the Celery task name.
        queue: default: the setting ``default_queue``.
        priority: 0 to 9, higher runs first.
        max_attempts: how often the workflow's own errors are tried; 1 means once.
        max_losses: how many lost workers, walltime ends and out-of-memory kills a job survives.
        time_limit: seconds, ``"24h"`` or a timedelta, after which the job is stopped.
        soft_time_limit: the same, after which `SoftTimeLimitExceeded` is raised inside the workflow,
            which may save what it has; default: ``time_limit``, with the setting ``kill_grace`` before the kill.
        retry_on: exceptions worth another attempt; default: all.
        retry_delay: seconds before the second attempt; it doubles each time, at most an hour.
        slices: whether short jobs of this workflow may be claimed and finished together.
        version: declare a new one when old results should no longer be reused by ``dedupe``.

    Raises:
        DefinitionError: the function or an option is not usable; one line says why.
    """

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
        retry_on: tuple[type[BaseException], ...] | type[BaseException] | None = None,
        retry_delay: float | str | timedelta = 5.0,
        slices: bool = True,
        version: str = "1",
    ) -> None:
        if not callable(function) or inspect.iscoroutinefunction(function) or inspect.isclass(function):
            raise DefinitionError(f"{function!r} is not an ordinary function and cannot be a workflow")
        self.function = function
        self.name = name or default_name(function)
        if "<lambda>" in self.name or "<locals>" in self.name:
            raise DefinitionError(
                f"{self.name}: a worker could not import it; define the workflow at the top of a module, "
                "or give it a name of its own with @workflow(name=…)"
            )
        self.queue = queue
        self.priority = _within(self.name, "priority", priority, 0, 9)
        self.max_attempts = _within(self.name, "max_attempts", max_attempts, 1, 10_000)
        self.max_losses = _within(self.name, "max_losses", max_losses, 0, 10_000)
        self.time_limit = _seconds(self.name, "time_limit", time_limit)
        self.soft_time_limit = _seconds(self.name, "soft_time_limit", soft_time_limit)
        self.retry_on = (retry_on,) if isinstance(retry_on, type) else retry_on
        self.retry_delay = _seconds(self.name, "retry_delay", retry_delay) or 0.0
        self.slices = slices
        self.version = version
        self.parameters = Parameters(self.name, function)
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the workflow here and now: no board, no worker. Parameters are validated all the same."""
        return self.function(**self.parameters.validate(self.parameters.bind(args, kwargs)))

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @cached_property
    def code_version(self) -> str:
        """The declared version and a hash of the function's source, for the record of each attempt."""
        try:
            source = inspect.getsource(self.function)
        except (OSError, TypeError):
            return self.version
        return f"{self.version}+{hashlib.sha256(source.encode()).hexdigest()[:10]}"

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
        delay = self.retry_delay * 2.0 ** min(failures - 1, 30)
        return float(min(delay, MAX_BACKOFF) * random.uniform(1.0, 1.1))

    def idempotency_key(self, encoded: Mapping[str, Any]) -> str:
        """The key that ``dedupe`` uses: name, declared version and canonical parameters."""
        canonical = json.dumps([self.name, self.version, encoded], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def default_name(function: Callable[..., Any]) -> str:
    """``module.function``; a script's module is the name that a worker can import it by."""
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}.{getattr(function, '__qualname__', function)}"


def _within(name: str, option: str, value: int, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DefinitionError(
            f"workflow {name}: {option} must be a number from {low} to {high}, not {value!r}"
        )
    return value


def _seconds(name: str, option: str, value: float | str | timedelta | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else parse_duration(value)
    except ValueError as error:
        raise DefinitionError(f"workflow {name}: {option}: {error}") from None
    if seconds < 0 or (seconds == 0 and option != "retry_delay"):
        raise DefinitionError(f"workflow {name}: {option} must be a positive duration, not {value!r}")
    return seconds
