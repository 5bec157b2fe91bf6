"""Handlers: what recognises an error of a program, and corrects its input, so that it can run again."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from simcelery.errors import BY_HANDLER
from simcelery.readable import short

Changes = Literal["numerics", "physics"]
CHANGES: tuple[Changes, ...] = get_args(Changes)
NUMERICS: tuple[Changes, ...] = ("numerics",)  # what jobs allow that say nothing

_EVERY = 30.0  # seconds between two looks of a handler of custodian's that watches and does not say


class Handler:
    """Recognises one error of a program, and corrects its input. Inherit from it.

    A job has handlers of its own: what one keeps in its attributes is not seen by the next job.

    Attributes:
        changes: what its corrections change: the way to the solution (``"numerics"``: an algorithm, a step
            size, a memory setting), or the problem that is solved (``"physics"``: a functional, a cutoff, a
            structure). Jobs allow only the former, unless they say otherwise.
        every: seconds between two looks while the program runs; None: it looks when the program has ended.
        ends: whether the program is ended as soon as such a look finds the error. If not, it is corrected
            while the program runs (by a file that asks it to stop, say), which runs again after its end.
        fails: whether the job fails if the error cannot be corrected. If not, the program's own end decides.
        max_corrections: how many corrections of its own a job may have in all its attempts; None: any number.
        spent: how many it has had; set before `correct` is called.
    """

    changes: Changes = "numerics"
    every: float | None = None
    ends: bool = True
    fails: bool = True
    max_corrections: int | None = None
    spent: int = 0
    fails_at_most = True  # whether it is still an error when these are spent

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


class OfCustodian(Handler):
    """A handler of custodian's, which is not imported: only its methods and attributes are used.

    Attributes:
        said: the errors that its last correction named.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self.changes = getattr(handler, "changes", "physics")  # many do, and none says that it does not
        watches = getattr(handler, "is_monitor", False)
        self.every = getattr(handler, "every", _EVERY) if watches else None
        self.ends = getattr(handler, "is_terminating", True)
        self.fails = getattr(handler, "raises_runtime_error", True)
        self.max_corrections = getattr(handler, "max_num_corrections", None)
        self.fails_at_most = getattr(handler, "raise_on_max", False)
        self.said = ""

    @property
    def name(self) -> str:
        return type(self._handler).__name__

    def check(self, folder: Path) -> str | None:
        if not self._handler.check(os.fspath(folder)):
            return None
        return _in_words(getattr(self._handler, "errors", None)) or self.name

    def correct(self, folder: Path) -> bool | None:
        self._handler.n_applied_corrections = self.spent
        done = self._handler.correct(os.fspath(folder))
        self.said = _in_words(done.get("errors"))
        return bool(done.get("actions"))


def name_handler(raised: Exception, handler: Handler, method: str) -> None:
    """Have an error say which handler raised it; its type, and so what becomes of the job, stays."""
    raised.add_note(f"{BY_HANDLER}{handler.name}.{method}")


def _in_words(errors: Any) -> str:
    some = errors if isinstance(errors, list | tuple | set | frozenset) else ()
    return ", ".join(sorted(map(str, some)))


def forget_files() -> None:
    """Have custodian read files anew: it keeps what it has read until it is told otherwise."""
    utils: Any = sys.modules.get("custodian.utils")
    if utils is not None:
        utils.tracked_lru_cache.tracked_cache_clear()


def of_job(handlers: Iterable[Any]) -> list[Handler]:
    """Handlers as one job uses them: copies, so that nothing that they keep outlives it."""
    return [copy.deepcopy(one if isinstance(one, Handler) else OfCustodian(one)) for one in handlers]


def check_handlers(handlers: Sequence[Any]) -> None:
    """See that they can be used.

    Raises:
        ValueError: one cannot.
    """
    for one in handlers:
        methods = [getattr(one, name, None) for name in ("check", "correct")]
        if isinstance(one, type) or not all(map(callable, methods)):
            raise ValueError(f"handlers: {short(one)} is no handler: it needs methods check and correct")
        changes = getattr(one, "changes", CHANGES[0])
        if changes not in CHANGES:
            name = type(one).__name__
            raise ValueError(
                f"handlers: {name}.changes must be 'numerics' or 'physics', not {short(changes)}"
            )
