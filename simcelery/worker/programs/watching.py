"""The handlers of a program look: while it runs, and when it has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simcelery.readable import line
from simcelery.worker.programs.correcting import Refusal
from simcelery.worker.programs.handlers import Handler, forget_files, name_handler

# Lets a handler correct an error, while the program runs or after its end; or says why not.
Correct = Callable[[Handler, str, bool], Refusal | None]


class Watch:
    """One run of a program, as its handlers see it.

    Attributes:
        corrected: whether something was corrected, so that the program runs again.
        refused: why the job fails if nothing is corrected.
        broken: what a handler raised when it looked after the program's end.
    """

    def __init__(self, handlers: Sequence[Handler], folder: Path, correct: Correct) -> None:
        self._handlers = handlers
        self._folder = folder
        self._correct = correct
        self._due = {one: one.every for one in handlers if one.every is not None}
        self._has_looked: set[Handler] = set()  # and has found its error
        self._has_raised: set[Handler] = set()
        self._found: tuple[Handler, str] | None = None
        self.corrected = False
        self.refused: list[str] = []
        self.broken: Exception | None = None

    def look(self, seconds: float) -> bool:
        """Let those look whose time has come, after so many seconds; whether the program is to be ended."""
        due = [one for one, time in self._due.items() if seconds >= time and one not in self._has_looked]
        if due:
            forget_files()
        for one in due:
            assert one.every is not None
            self._due[one] = seconds + one.every
            error = self._look_early(one)
            if error is None:
                continue
            self._has_looked.add(one)
            if one.ends:
                self._found = (one, error)
                return True
            self._settle(one, error, running=True)
        return False

    def _look_early(self, handler: Handler) -> str | None:
        """What it looks for may not be there yet, so that it raises."""
        try:
            return handler.check(self._folder)
        except Exception as error:
            if _is_limit(error):
                raise
            if handler not in self._has_raised:
                self._has_raised.add(handler)
                said = f"{handler.name} cannot look yet: {type(error).__name__}: {line(str(error))}"
                print(f"simcelery: {said}", file=sys.stderr, flush=True)
            return None

    def end(self) -> None:
        """The program has ended: let the first handler that finds an error, and may and can, correct it."""
        forget_files()
        if self._found is not None:
            self._settle(*self._found)
        for one in self._handlers:
            if self.corrected:
                return
            if one in self._has_looked:
                continue
            try:
                error = one.check(self._folder)
            except Exception as raised:
                if _is_limit(raised):
                    raise
                name_handler(raised, one, "check")
                self.broken = self.broken or raised
                continue
            if error is not None:
                self._settle(one, error)

    def _settle(self, handler: Handler, error: str, *, running: bool = False) -> None:
        refusal = self._correct(handler, error, running)
        if refusal is None:
            self.corrected = True
            return
        print(f"simcelery: {refusal.why}", file=sys.stderr, flush=True)
        if refusal.fails:
            self.refused.append(refusal.why)


def _is_limit(error: Exception) -> bool:
    """Whether the attempt has reached its time limit, which is no error of the handler that was looking."""
    celery: Any = sys.modules.get("celery.exceptions")  # clients have not imported it
    return celery is not None and isinstance(error, celery.SoftTimeLimitExceeded)
