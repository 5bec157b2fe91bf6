"""Handlers: what recognises an error of a program, and corrects its input, so that it can run again."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from simcelery.readable import short

Changes = Literal["numerics", "physics"]
CHANGES: tuple[Changes, ...] = get_args(Changes)
NUMERICS: tuple[Changes, ...] = ("numerics",)  # what jobs allow that say nothing

_EVERY = 30.0  # seconds between two looks of a handler of custodian's that watches


class Handler:
    """Recognises one error of a program, and corrects its input. Inherit from it.

    A job has handlers of its own: what one keeps in its attributes is not seen by the next job.

    Attributes:
        changes: what its corrections change: the way to the solution (``"numerics"``: an algorithm, a step
            size, a memory setting), or the problem that is solved (``"physics"``: a functional, a cutoff, a
            structure). Jobs allow only the former, unless they say otherwise.
        every: seconds between two looks while the program runs; None: it looks when the program has ended.
    """

    changes: Changes = "numerics"
    every: float | None = None

    @property
    def name(self) -> str:
        """What the record of corrections calls it."""
        return type(self).__name__

    def check(self, folder: Path) -> str | None:
        """The error, in words, if there is one in the program's folder; else None."""
        raise NotImplementedError

    def correct(self, folder: Path) -> bool | None:
        """Change files in the folder so that the program can run again; False: there is no way."""
        raise NotImplementedError


class _OfCustodian(Handler):
    """A handler of custodian's, which is not imported: only its methods are used.

    Of its counters and caches nothing is left from an earlier job, or from an earlier look.
    """

    changes: Changes = "physics"  # many do, and none says so

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self.every = _EVERY if getattr(handler, "is_monitor", False) else None

    @property
    def name(self) -> str:
        return type(self._handler).__name__

    def check(self, folder: Path) -> str | None:
        _forget_files()
        return self.name if self._handler.check(os.fspath(folder)) else None

    def correct(self, folder: Path) -> bool | None:
        _forget_files()
        done = self._handler.correct(os.fspath(folder))
        return bool(done.get("actions"))


def _forget_files() -> None:
    """Custodian keeps what it has read of a file until it is told otherwise."""
    utils: Any = sys.modules.get("custodian.utils")
    if utils is not None:
        utils.tracked_lru_cache.tracked_cache_clear()


def of_job(handlers: Iterable[Any]) -> list[Handler]:
    """Handlers as one job uses them: copies, so that nothing that they keep outlives it."""
    return [copy.deepcopy(one if isinstance(one, Handler) else _OfCustodian(one)) for one in handlers]


def check_handlers(handlers: Sequence[Any]) -> None:
    """See that they can be used.

    Raises:
        ValueError: one cannot.
    """
    for one in handlers:
        methods = [getattr(one, name, None) for name in ("check", "correct")]
        if isinstance(one, type) or not all(map(callable, methods)):
            raise ValueError(f"handlers: {short(one)} is no handler: it needs methods check and correct")
        if isinstance(one, Handler) and one.changes not in CHANGES:
            raise ValueError(
                f"handlers: {one.name}.changes must be 'numerics' or 'physics', not {short(one.changes)}"
            )


class Watch:
    """The handlers that look while a program runs."""

    def __init__(self, handlers: Iterable[Handler], folder: Path) -> None:
        self._due = {one: one.every for one in handlers if one.every is not None}
        self._folder = folder
        self.found: tuple[Handler, str] | None = None

    def look(self, seconds: float) -> bool:
        """Let those look whose time has come, after so many seconds; whether one has found an error."""
        for one, due in self._due.items():
            assert one.every is not None
            if seconds >= due:
                self._due[one] = seconds + one.every
                if (error := one.check(self._folder)) is not None:
                    self.found = (one, error)
                    return True
        return False
