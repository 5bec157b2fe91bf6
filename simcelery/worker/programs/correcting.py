"""Check, correct, run again: within one attempt, with a record of every correction on the board."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.failpoints import failpoint
from simcelery.readable import line
from simcelery.worker.context import CurrentJob
from simcelery.worker.programs.handlers import Handler, Watch
from simcelery.worker.programs.verdict import CommandError
from simcelery.worker.waiting import wait_within

if TYPE_CHECKING:
    from simcelery.board.values import Claim

log = logging.getLogger(__name__)

_LARGEST_FILE = 1 << 20  # bytes of one that is compared
_MOST_FILES = 1000
_LONGEST_DIFFERENCE = 20_000  # characters
_LONGEST_ERROR = 2000


class Corrections:
    """The corrections of one job: those that the board knows, and those of this attempt.

    Parameters:
        claim: of the attempt; None: outside of a job.
        budget: how many a job may have, in all its attempts.
        allow: what corrections may change.
    """

    def __init__(
        self, job: CurrentJob, claim: Claim | None, folder: Path, budget: int, allow: Collection[str]
    ) -> None:
        self._job = job
        self._claim = claim
        self._folder = folder
        self._budget = budget
        self._allow = allow
        self.made = 0  # in this attempt

    def correct(self, handler: Handler, error: str, failure: CommandError | None) -> None:
        """Let a handler correct an error, and record what it changed.

        Parameters:
            failure: what is wrong if it is not corrected.

        Raises:
            CommandError: it may not, or it cannot.
        """
        why = f"{handler.name} found: {line(error)[:_LONGEST_ERROR]}"
        if handler.changes not in self._allow:
            not_allowed = f"its correction would change the {handler.changes}, which this job does not allow"
            raise _given_up(why, not_allowed, failure)
        if self._spent() >= self._budget:
            raise _given_up(why, f"but all {self._budget} corrections of this job are spent", failure)
        before = _texts(self._folder)
        if handler.correct(self._folder) is False:
            raise _given_up(why, "and knows no correction", failure)
        failpoint("before_correction_saved")
        difference = _difference(before, _texts(self._folder))
        self._record(handler, error, difference)
        self.made += 1
        failpoint("after_correction")
        print(f"simcelery: {why}; corrected, and runs again:\n{difference}", file=sys.stderr, flush=True)

    def _spent(self) -> int:
        if self._job.id is None:
            return self.made
        from simcelery.board import corrections  # not before: clients import this package, too

        number = self._job.id
        return wait_within(number, "with a correction", lambda: corrections.count(number))

    def _record(self, handler: Handler, error: str, difference: str) -> None:
        from simcelery.board import corrections  # as above

        claim = self._claim
        if claim is None:
            return
        words = line(error)[:_LONGEST_ERROR]
        saved = wait_within(
            claim.job_id,
            "with a correction",
            lambda: corrections.save(claim, handler.name, words, handler.changes, difference, self._budget),
        )
        if not saved:
            log.warning(
                "job %s: a correction is not recorded, since another attempt has the job by now", claim.job_id
            )


def found(handlers: Sequence[Handler], watch: Watch, folder: Path) -> tuple[Handler, str] | None:
    """The first error that a handler sees now that the program has ended, or saw before."""
    if watch.found is not None:
        return watch.found
    for one in handlers:
        if (error := one.check(folder)) is not None:
            return one, error
    return None


def _given_up(why: str, reason: str, failure: CommandError | None) -> CommandError:
    return CommandError(f"{why}; {reason}" + (f"\n{failure}" if failure else ""))


def _texts(folder: Path) -> dict[str, str | None]:
    """The texts in a folder, by the names of their files; None: it is no text, or too long to compare."""
    texts: dict[str, str | None] = {}
    for path in sorted(folder.rglob("*"))[:_MOST_FILES]:
        try:
            if path.is_file():
                small = path.stat().st_size <= _LARGEST_FILE
                texts[str(path.relative_to(folder))] = path.read_text(encoding="utf-8") if small else None
        except (OSError, UnicodeDecodeError):
            texts[str(path.relative_to(folder))] = None
    return texts


def _difference(before: dict[str, str | None], after: dict[str, str | None]) -> str:
    """What has changed, as a unified diff."""
    parts: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new and old is not None and new is not None:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, n=1, lineterm="")
            parts += lines
        elif (name in before) != (name in after):
            parts.append(f"{'+' if name in after else '-'} {name}")
    whole = "\n".join(parts).replace("\0", "\\0")
    return whole if len(whole) <= _LONGEST_DIFFERENCE else whole[:_LONGEST_DIFFERENCE] + "\n…"
