"""Follow jobs until they have finished, and show their progress."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from simcelery.cli.output import bar_width, console, note, remark
from simcelery.cli.selectors import chunks
from simcelery.describe.job import progress
from simcelery.describe.plain import plain
from simcelery.describe.words import duration as in_words
from simcelery.describe.words import many, named, rate
from simcelery.errors import JobNotFoundError, ServiceError, WaitTimeoutError
from simcelery.pauses import growing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.states import State

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_LINE_EVERY = 10.0  # seconds between two lines where there is no terminal
_HINT_AFTER = 5.0  # if nothing has started by then, perhaps no worker is there to start it


class Watch:
    """The jobs being followed: their last known states, and how fast they finish."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self.single: JobRow | None = None
        self._seen: dict[int, State] = {}
        self._open = list(ids)
        self._began = time.monotonic()
        self._finished_before: int | None = None

    def poll(self) -> bool:
        """Ask the board; return whether any job is still unfinished.

        Raises:
            JobNotFoundError: a job is no longer on the board.
            ServiceError: Postgres does not answer.
        """
        from simcelery.board import engine, reads

        with engine.begin() as connection:
            for part in chunks(self._open):
                self._seen.update(reads.states(connection, part))
            if len(self.ids) == 1:
                self.single = reads.job(connection, self.ids[0])
        if missing := [number for number in self._open if number not in self._seen]:
            raise JobNotFoundError(f"job {missing[0]} is no longer on the board")
        self._open = [number for number in self._open if not self._seen[number].is_terminal]
        if self._finished_before is None:
            self._finished_before = self.finished
        if self.finished == self._finished_before and not self.states["running"]:
            self._began = time.monotonic()  # the rate covers only the time with work
        return bool(self._open)

    @property
    def states(self) -> Counter[str]:
        """The number of jobs in each state."""
        return Counter(str(state) for state in self._seen.values())

    @property
    def open(self) -> list[int]:
        """The ids of those that have not finished."""
        return self._open

    @property
    def finished(self) -> int:
        """The number of finished jobs."""
        return len(self.ids) - len(self._open)

    @property
    def idle(self) -> bool:
        """Whether jobs are pending but none has started or finished since the beginning."""
        states = self.states
        return (
            self.finished == (self._finished_before or 0) and not states["running"] and states["pending"] > 0
        )

    def in_words(self) -> str:
        """``3 running, 997 pending``."""
        from simcelery.board.states import State

        states = self.states
        return ", ".join(f"{states[state]:,} {state}" for state in State if states[state])

    def pace(self) -> str:
        """``12/s, 1m20s left``, once something has finished."""
        done = self.finished - (self._finished_before or 0)
        elapsed = time.monotonic() - self._began
        if not done or elapsed < 0.5 or not self._open:
            return ""
        speed = done / elapsed
        return f"{rate(speed)}, {in_words(len(self._open) / speed)} left"


def follow(watch: Watch, timeout: float | None, still: str = "they continue") -> None:
    """Poll until all have finished, and draw their progress.

    Parameters:
        still: what to say, on a timeout, about the jobs that have not finished.

    Raises:
        WaitTimeoutError: some have not finished in time.
        ServiceError: Postgres does not answer at the beginning.
    """
    from simcelery.submission.outages import Outages

    began = time.monotonic()
    until = math.inf if timeout is None else began + timeout
    pauses, board = growing(_FIRST_PAUSE, _LONGEST_PAUSE, until), Outages(remark, until)
    hint_at, before = began + _HINT_AFTER, -1
    look_at, said = began + 1.0, set[str]()
    with ExitStack() as stack:
        draw: Callable[[], None] | None = None
        while True:
            if not board.ask(watch.poll):
                return
            now = time.monotonic()
            if timeout is not None and now >= until:
                left = f"{many(len(watch.ids) - watch.finished)} not finished"
                raise WaitTimeoutError(f"{left} after {in_words(timeout)}: {watch.in_words()}; {still}")
            draw = draw or stack.enter_context(_drawing(watch))
            draw()
            if now > hint_at:
                with suppress(ServiceError):
                    hint_at = math.inf if _hint(watch) else now + _HINT_AFTER
            if now > look_at and watch.states["blocked"]:
                look_at = now + _HINT_AFTER
                with suppress(ServiceError):
                    _say_held(watch, said)
            if watch.finished != before:
                pauses = growing(_FIRST_PAUSE, _LONGEST_PAUSE, until)
            before = watch.finished
            time.sleep(next(pauses, 0.0))


def _hint(watch: Watch) -> bool:
    """If no live worker can start or end the jobs, say so; return whether anything was said."""
    from simcelery.board import engine, reads
    from simcelery.describe.needs import too_large
    from simcelery.describe.unserved import in_sentences

    with engine.begin() as connection:
        said = in_sentences(reads.unserved(connection, watch.ids)) if watch.idle else []
        if watch.states["pending"]:
            said += too_large(connection, reads.Filter(ids=watch.ids))
        lost = reads.lost(connection) if watch.states["running"] else []
    lines = [f"{about}: {advice}" for about, advice in said]
    for worker in lost:
        if ours := sorted(set(worker["running"]) & set(watch.ids)):
            about = f"the lease of {worker['nodename']}, which was running {named(ours)}, has expired"
            lines.append(f"{about}: 'simcelery explain {ours[0]}' says when it will be rescued")
    for line in lines:
        note(f"simcelery: {line}")
    return bool(lines)


def _say_held(watch: Watch, said: set[str]) -> None:
    """Say once of each closed gate what it waits for, if only somebody can open it."""
    from simcelery.board import engine
    from simcelery.board.reads import Filter, gates
    from simcelery.describe.gates import loud, needs_somebody

    with engine.begin() as connection:
        closed = gates.closed_gates(connection, Filter(ids=watch.open))
    for gate in filter(needs_somebody, closed):
        if (line := loud(gate)) not in said:
            said.add(line)
            note(f"simcelery: {line}")


@contextmanager
def _drawing(watch: Watch) -> Iterator[Callable[[], None]]:
    if sys.stderr.isatty():
        with _bar(watch) as draw:
            yield draw
    else:
        yield _Lines(watch)


class _Lines:
    """Print a line every ten seconds, for logs."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last < _LINE_EVERY:
            return
        self._last = time.monotonic()
        watch = self._watch
        pace = watch.pace()
        note(
            f"{watch.finished:,}/{len(watch.ids):,} finished: {watch.in_words()}"
            + (f"; {pace}" if pace else "")
        )


@contextmanager
def _bar(watch: Watch) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Column

    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=bar_width()),
        TextColumn("{task.fields[about]}", markup=False, table_column=Column()),  # it wraps
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None, about="")

        def draw() -> None:
            shown.update(task, **_picture(watch))

        yield draw


def _picture(watch: Watch) -> dict[str, Any]:
    """What the bar shows: the progress of a single job, or how many of several have finished."""
    job = watch.single
    if job is not None:
        report = job.progress if job.state == "running" and job.progress else {}
        total = plain(report.get("total"))
        return {
            "description": f"job {job.id} {job.state}",
            "total": total or None,
            "completed": plain(report.get("done")) or 0,
            "about": progress(report) if report else "",
        }
    return {
        "description": f"{watch.finished:,}/{len(watch.ids):,}",
        "total": len(watch.ids),
        "completed": watch.finished,
        "about": ", ".join(filter(None, (watch.in_words(), watch.pace()))),
    }
