"""``logs -f``: show what a job prints until it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.cli.options import EXIT_INTERRUPTED
from simcelery.cli.output import note, remark, write

if TYPE_CHECKING:
    from simcelery.submission.following import Heard
    from simcelery.submission.handle import Job


def show(number: int, tail: int | None, attempt: int | None) -> int:
    """Show it as it comes; return the exit code.

    Parameters:
        tail: of what is there at the beginning, only so many lines.
        attempt: only this one.

    Raises:
        JobError: the job did not succeed.
    """
    from simcelery.submission.following import follow
    from simcelery.submission.handle import get_job
    from simcelery.submission.outages import Outages

    job, shown = get_job(number), _Shown(number, tail)
    try:
        for heard in follow(job, attempt, Outages(remark)):
            shown.add(heard)
    except KeyboardInterrupt:
        note(f"simcelery: no longer following; the job continues (simcelery logs {number} -f)")
        return EXIT_INTERRUPTED
    shown.end_line()
    return _end(job, attempt)


class _Shown:
    """What is on the screen so far."""

    def __init__(self, number: int, tail: int | None) -> None:
        self._number = number
        self._tail = tail
        self._attempt: int | None = None
        self._in_line = self._begun = False

    def add(self, heard: Heard) -> None:
        """Show what is new, and a line on stderr where another attempt begins."""
        printed = list(heard.printed)
        if not self._begun:
            self._begun = True
            if not heard.over and heard.state != "running":
                what = f"job {self._number} is {heard.state}"
                note(f"simcelery: {what}; 'simcelery explain {self._number}' says more")
            if self._tail is not None:
                printed = _last(printed, self._tail)
        for attempt, text in printed:
            self._announce(attempt, heard)
            write(text)
            self._in_line = not text.endswith("\n")
        if heard.state == "running":
            self._announce(heard.attempt, heard)

    def _announce(self, attempt: int, heard: Heard) -> None:
        if self._attempt != attempt and (self._attempt is not None or attempt > 1):
            self.end_line()
            where = f" on {heard.host}" if heard.host and attempt == heard.attempt else ""
            note(f"simcelery: attempt {attempt} of job {self._number}{where}")
        self._attempt = attempt

    def end_line(self) -> None:
        """What comes next begins a line of its own."""
        if self._in_line:
            write("\n")
            self._in_line = False


def _last(printed: list[tuple[int, str]], lines: int) -> list[tuple[int, str]]:
    """The last lines of what several attempts have printed."""
    kept: list[tuple[int, str]] = []
    for attempt, text in reversed(printed):
        if lines > 0:
            found = text.splitlines(keepends=True)
            kept.insert(0, (attempt, "".join(found[-lines:])))
            lines -= len(found)
    return kept


def _end(job: Job, attempt: int | None) -> int:
    row = job.row()
    if attempt is not None and attempt > row.attempt:
        note(f"simcelery: job {job.id} has ended without an attempt {attempt}")
        return 1
    if attempt is not None and attempt < row.attempt:
        note(f"simcelery: attempt {attempt} of job {job.id} did not succeed, and there is a later one")
        return 1
    if row.state != "succeeded":
        raise job.failure(row)
    return 0


def with_line_end(text: str) -> str:
    """The text, its last line ended as well."""
    return text if not text or text.endswith("\n") else f"{text}\n"
