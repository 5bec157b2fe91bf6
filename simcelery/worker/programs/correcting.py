"""Correct the input of a program: within one attempt, with a record of every correction on the board."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simcelery.failpoints import failpoint
from simcelery.readable import line
from simcelery.worker.programs import begun
from simcelery.worker.programs.handlers import Handler, OfCustodian, forget_files, name_handler
from simcelery.worker.waiting import wait_within

if TYPE_CHECKING:
    from simcelery.board.values import Claim

log = logging.getLogger(__name__)

_LARGEST_FILE = 1 << 20  # bytes of one that is compared
_MOST_FILES = 1000
_LONGEST_DIFFERENCE = 20_000  # characters
_LONGEST_ERROR = 2000

# What is recorded first: should the attempt die before the rest is, nobody takes its input for untouched.
_UNFINISHED = "(the attempt ended while this correction was made)"
_NOTHING = "(no text has changed)"

Texts = dict[str, str | None]  # by the names of files; None: it is no text, or too long to compare


class Refusal(NamedTuple):
    """Why an error was not corrected, and whether the job fails for it."""

    why: str
    fails: bool


class Corrections:
    """The corrections of one job: those that the board knows, and those of this run.

    Parameters:
        claim: of the attempt; None: outside of a job.
        budget: how many a job may have, in all its attempts.
        allow: what corrections may change.

    Attributes:
        made: how many there were in this run.
    """

    def __init__(self, claim: Claim | None, folder: Path, budget: int, allow: Collection[str]) -> None:
        self._claim = claim
        self._folder = folder
        self._budget = budget
        self._allow = allow
        self._here: dict[str, int] = {}  # by handler: what the board does not know outside of a job
        self._input: set[str] = set()
        self.made = 0

    def begin(self) -> None:
        """The program is about to begin: what is in its folder now is its input."""
        self._input = {str(path.relative_to(self._folder)) for path in _paths(self._folder)}

    def correct(self, handler: Handler, error: str, running: bool = False) -> Refusal | None:
        """Let a handler correct an error, and record what it changed; or say why it may not, or cannot.

        Parameters:
            running: the program runs, and writes files as well.
        """
        spent = self._spent()
        own = spent.get(handler.name, 0)
        why = f"{handler.name} found: {line(error)[:_LONGEST_ERROR]}"
        if handler.changes not in self._allow:
            not_allowed = (
                f"its correction would change the {handler.changes}, which this job does not allow "
                f"('retry --allow {handler.changes}' does)"
            )
            return Refusal(f"{why}; {not_allowed}", handler.fails)
        if handler.max_corrections is not None and own >= handler.max_corrections:
            most = f"the most that it may correct a job ({handler.max_corrections} times) is reached"
            return Refusal(f"{why}; but {most}", handler.fails and handler.fails_at_most)
        if sum(spent.values()) >= self._budget:
            return Refusal(f"{why}; but {_spent(self._budget)}", handler.fails)
        handler.spent = own
        number = self._record(handler, error)
        before = _texts(self._folder)
        forget_files()
        try:
            corrected = handler.correct(self._folder) is not False
        except Exception as raised:
            name_handler(raised, handler, "correct")
            raise
        forget_files()
        failpoint("before_correction_saved")
        if not corrected:
            self._withdraw(number)
            return Refusal(f"{why}; and knows no correction", handler.fails)
        after = _texts(self._folder)
        self._note(before, after, running)
        difference = _difference(before, after) or _NOTHING
        if isinstance(handler, OfCustodian) and handler.said:
            error = handler.said
        self._complete(number, error, difference)
        self.made += 1
        self._here[handler.name] = self._here.get(handler.name, 0) + 1
        failpoint("after_correction")
        said = (
            f"{handler.name} found: {line(error)[:_LONGEST_ERROR]}; corrected, and runs again:\n{difference}"
        )
        print(f"simcelery: {said}", file=sys.stderr, flush=True)
        return None

    def _note(self, before: Texts, after: Texts, running: bool) -> None:
        """Whoever goes on from this attempt needs its input as it is now."""
        if self._claim is None:
            return
        changed = {
            name
            for name in before.keys() | after.keys()
            if name not in after or (before.get(name) != after[name] and after[name] is not None)
        }
        self._input |= set() if running else changed
        begun.correct(self._folder, changed & self._input)

    def kept_from(self, attempt: int) -> int:
        """How many corrections the input of an earlier attempt had."""
        return sum(kept for _, kept in self._on_board(attempt).values())

    def _spent(self) -> dict[str, int]:
        if self._claim is None:
            return self._here
        return {handler: spent for handler, (spent, _) in self._on_board(self._claim.attempt).items()}

    def _on_board(self, attempt: int) -> dict[str, tuple[int, int]]:
        from simcelery.board import corrections  # not before: clients import this package, too

        assert self._claim is not None
        job = self._claim.job_id
        return wait_within(job, "with a correction", lambda: corrections.spent(job, attempt))

    def _record(self, handler: Handler, error: str) -> int | None:
        from simcelery.board import corrections  # as above

        claim = self._claim
        if claim is None:
            return None
        words = line(error)[:_LONGEST_ERROR]
        number = wait_within(
            claim.job_id,
            "with a correction",
            lambda: corrections.save(claim, handler.name, words, handler.changes, _UNFINISHED, self._budget),
        )
        if number is None:
            log.warning(
                "job %s: a correction is not recorded, since another attempt has the job by now", claim.job_id
            )
        return number

    def _complete(self, number: int | None, error: str, difference: str) -> None:
        from simcelery.board import corrections  # as above

        if self._claim is None or number is None:
            return
        job, words = self._claim.job_id, line(error)[:_LONGEST_ERROR]
        wait_within(job, "with a correction", lambda: corrections.complete(job, number, words, difference))

    def _withdraw(self, number: int | None) -> None:
        from simcelery.board import corrections  # as above

        if self._claim is None or number is None:
            return
        job = self._claim.job_id
        wait_within(job, "with a correction", lambda: corrections.withdraw(job, number))


def _spent(budget: int) -> str:
    anew = "'retry --from-scratch' begins anew, and so does 'retry --set' with another value of a parameter"
    return f"all {budget} corrections of this job are spent: {anew}"


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))[:_MOST_FILES]


def _texts(folder: Path) -> Texts:
    """The texts in a folder, by the names of their files; None: it is no text, or too long to compare."""
    texts: Texts = {}
    for path in _paths(folder):
        try:
            if path.is_file():
                small = path.stat().st_size <= _LARGEST_FILE
                texts[str(path.relative_to(folder))] = path.read_text(encoding="utf-8") if small else None
        except (OSError, UnicodeDecodeError):
            texts[str(path.relative_to(folder))] = None
    return texts


def _difference(before: Texts, after: Texts) -> str:
    """What has changed, as a unified diff; of a file that is gone only the name."""
    parts: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if name not in after:
            parts.append(f"- {name}")
        elif name not in before and not new:
            parts.append(f"+ {name}")
        elif old != new and new is not None and (old is not None or name not in before):
            words = (old or "").splitlines(), new.splitlines()
            parts += difflib.unified_diff(*words, name, name, n=1, lineterm="")
    whole = "\n".join(parts).replace("\0", "\\0")
    return whole if len(whole) <= _LONGEST_DIFFERENCE else whole[:_LONGEST_DIFFERENCE] + "\n…"
