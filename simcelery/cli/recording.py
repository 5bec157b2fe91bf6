"""Record what ``submit`` was given: in constant memory, with a progress bar, safe to interrupt."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from simcelery.cli.output import console, note
from simcelery.describe.words import compact, many, spaced
from simcelery.errors import (
    EncodingError,
    ParametersError,
    ServiceError,
    SubmissionInterruptedError,
    UsageError,
)

if TYPE_CHECKING:
    from simcelery.board.values import NewJob
    from simcelery.cli.sources import Item, Items
    from simcelery.cli.targets import Target
    from simcelery.submission.handle import Jobs
    from simcelery.submission.options import Options
    from simcelery.submission.records import Records


def prepared(target: Target, found: Iterable[Item], options: Options) -> Iterator[NewJob]:
    """The jobs, each validated only when it is asked for; none is recorded.

    Raises:
        ParametersError, EncodingError: the first job that is invalid; the message says where it came from.
    """
    prepare = target.preparation(options)
    for item in found:
        try:
            yield prepare(item.values)
        except (ParametersError, EncodingError) as error:
            if item.where:
                raise type(error)(f"{item.where}: {error}") from None
            raise


@contextmanager
def interruptible(options: Options) -> Iterator[Recording]:
    """If the block is interrupted, by Ctrl-C or SIGTERM, say in one line what has been recorded."""
    recording = Recording(options)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield recording
    except KeyboardInterrupt as error:
        note(f"simcelery: interrupted: {recording.in_words(getattr(error, '__notes__', ()))}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class Recording:
    """What a submission has recorded so far.

    Attributes:
        total: how many jobs it will record, or None while that is unknown.
    """

    def __init__(self, options: Options) -> None:
        self.total: int | None = None
        self._records: Records | None = None
        self._options = options

    def note(self, records: Records) -> None:
        """Remember what has been recorded so far."""
        self._records = records

    def in_words(self, unknown: Iterable[str]) -> str:
        """What has been recorded, what will happen to it, and how to continue.

        Parameters:
            unknown: what else may have been recorded.
        """
        return "; ".join((*unknown, *self._in_words(known=not unknown)))

    def _in_words(self, known: bool) -> Iterator[str]:
        records = self._records
        if not records:
            yield "nothing was recorded" if known else "as far as is known, nothing else was recorded"
            return
        found = ", ".join(f"{count:,} {how}" for how, count in records.summary().items() if count)
        how = f": {found}" if self._options.dedupe else ""
        ids = spaced(records.ids)
        yield f"{many(len(records))} recorded (ids {ids}{how}), and will run without this command"
        yield ", ".join(_what_to_do(compact(records.ids), compact(records.ids_of("new"))))
        if len(records) != self.total:
            yield self.go_on()

    def go_on(self) -> str:
        """How to record the rest."""
        if self._options.dedupe:
            return "repeat the same command to continue from there"
        return "repeat the same command with --dedupe to record the rest"

    def so_far(self) -> str:
        """How many are recorded, after an error."""
        if not self._records:
            return "as far as is known, nothing was recorded"
        return f"{many(len(self._records))} recorded; {self.go_on()}"


def _what_to_do(ids: str, new: str) -> Iterator[str]:
    if ids.endswith("…"):
        yield "'simcelery list' and 'simcelery watch' show them"
        return
    yield f"'simcelery watch {ids}' shows their progress"
    yield f"'simcelery wait {ids}' waits for them"
    if new and not new.endswith("…"):
        yield f"'simcelery cancel {new}' cancels {'them' if new == ids else 'the new ones'}"


def record_all(target: Target, found: Items, options: Options, recording: Recording) -> Jobs:
    """Validate everything, then record it; what cannot be read twice is validated chunk by chunk.

    Raises:
        UsageError, ParametersError, EncodingError: something is invalid; says what was recorded, if anything.
        KeyboardInterrupt: interrupted; `recording` knows what was recorded.
    """
    from simcelery.submission.bulk import chunks, is_full

    new = prepared(target, found, options)
    first = next(chunks(new), [])
    if not is_full(first):
        recording.total = len(first)
        return _submit(first, options, recording.note)
    if found.once:
        new = chain(first, new)
    else:
        recording.total = len(first) + sum(1 for _ in new)  # validates them
        new = prepared(target, found, options)
    del first
    with _bar(recording.total) as show:

        def note_recorded(records: Records) -> None:
            recording.note(records)
            show(len(records))

        try:
            return _submit(new, options, note_recorded)
        except SubmissionInterruptedError:
            raise  # without --dedupe: it already says what was recorded
        except (UsageError, EncodingError, ServiceError) as error:
            raise type(error)(f"{error}; {recording.so_far()}") from None


def _submit(new: Iterable[NewJob], options: Options, on_recorded: Callable[[Records], None]) -> Jobs:
    from simcelery.submission.bulk import submit_all

    try:
        return submit_all(new, options, on_recorded)
    except SubmissionInterruptedError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal's stderr; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console(stderr=True)
    columns = (TextColumn("recorded"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.update(task, completed=count)
