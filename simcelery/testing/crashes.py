"""Crashes of attempts on purpose, to test that your workflows resume."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from simcelery import failpoints
from simcelery.errors import UsageError
from simcelery.testing.attempts import POINTS, Crash
from simcelery.testing.workers import Worker


class CrashAfter:
    """Arms crashes: each kills the process of one attempt with SIGKILL, one after the other."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self._worker = worker
        self._monkeypatch = monkeypatch

    def __call__(self, where: str | Callable[..., Any], *, nth: int = 1) -> None:
        """Kill the next attempt that comes there.

        Parameters:
            where: ``"claim"`` (nothing of the workflow has run), ``"run"`` (it has returned, but nothing is
                on the board), ``"finish"`` (its end is on the board), ``"progress"`` (it has reported
                progress), ``"step"`` or ``"checkpoint"`` (it has saved one), a step's name, the message
                of a report, or a function, after whose return the attempt dies. A function is given itself,
                or as ``"module.function"`` where the workflow finds it.
            nth: how often it has to come there.

        Raises:
            UsageError: there is no such function.
        """
        if nth < 1:
            raise UsageError("crash_after: nth counts from 1")
        self._worker.crashes.append(Crash(self._failpoint(where), nth))

    def end(self) -> None:
        """A crash that never happened tests nothing."""
        if never := [crash.failpoint.removeprefix("after_") for crash in self._worker.crashes_left()]:
            pytest.fail(f"crash_after: no attempt ever came to {', '.join(never)}", pytrace=False)

    def _failpoint(self, where: str | Callable[..., Any]) -> str:
        if isinstance(where, str):
            if where in POINTS:
                return POINTS[where]
            path, _, name = where.rpartition(".")
            if not path or " " in where:
                return f"after {where}"
            return self._wrap(_module(path), name)
        module = sys.modules.get(getattr(where, "__module__", ""))
        name = getattr(where, "__name__", "")
        if module is None or getattr(module, name, None) is not where:
            raise UsageError(
                f"crash_after: give {name or where!r} as 'module.function', where the workflow finds it"
            )
        return self._wrap(module, name)

    def _wrap(self, module: Any, name: str) -> str:
        function = getattr(module, name, None)
        if not callable(function):
            raise UsageError(f"crash_after: there is no function {module.__name__}.{name}")
        failpoint = f"after_{module.__name__}.{name}"

        @functools.wraps(function)
        def crashing(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            failpoints.failpoint(failpoint)
            return result

        self._monkeypatch.setattr(module, name, crashing)
        return failpoint


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"crash_after: {error}") from None
