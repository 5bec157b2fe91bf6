"""Recording what ``submit`` was told: as it is read, in constant memory, with a bar, safe to interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from simcelery.cli.output import console, note
from simcelery.cli.words import many
from simcelery.errors import (
    EncodingError,
    ParametersError,
    ServiceError,
    SubmissionInterruptedError,
    UsageError,
)

if TYPE_CHECKING:
    from simcelery.board.jobs import NewJob
    from simcelery.cli.sources import Item, Items
    from simcelery.cli.targets import Target
    from simcelery.submission.handle import Jobs
    from simcelery.submission.options import Options


def prepared(target: Target, found: Iterable[Item], options: Options) -> Iterator[NewJob]:
    """The jobs, each validated as it is asked for; none is recorded.

    Raises:
        ParametersError, EncodingError: of the first that does not fit; says where it came from.
    """
    prepare = target.preparation(options)
    for item in found:
        try:
            yield prepare(item.values)
        except (ParametersError, EncodingError) as error:
            if item.where:
                raise type(error)(f"{item.where}: {error}") from None
            raise


def record_all(target: Target, found: Items, options: Options) -> Jobs:
    """Validate everything, then record it; what cannot be read twice is validated as it comes.

    Raises:
        UsageError, ParametersError, EncodingError: something does not fit; says what is recorded, if any is.
    """
    from simcelery.submission.bulk import chunks, is_full, submit_all

    new = prepared(target, found, options)
    first = next(chunks(new), [])
    if not is_full(first):
        return submit_all(first, options)
    total = None
    if found.once:
        new = chain(first, new)
    else:
        total = len(first) + sum(1 for _ in new)  # validates them
        new = prepared(target, found, options)
    del first
    recorded = 0

    def note_recorded(count: int) -> None:
        nonlocal recorded
        recorded = count
        show(count)

    with _bar(total) as show:
        try:
            return submit_all(new, options, note_recorded)
        except SubmissionInterruptedError:
            raise  # without --dedupe: it says itself what is recorded, and that it cannot be repeated
        except KeyboardInterrupt as error:
            unknown = getattr(error, "__notes__", ())
            note(f"simcelery: interrupted: {'; '.join((*unknown, _so_far(recorded)))}")
            raise
        except (UsageError, EncodingError, ServiceError) as error:
            raise type(error)(f"{error}; {_so_far(recorded)}") from None


def _so_far(recorded: int) -> str:
    if not recorded:
        return "as far as is known nothing is recorded"
    return f"{many(recorded)} recorded; the same command, once more, goes on from there"


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal's stderr; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console(stderr=True)
    columns = (TextColumn("recorded"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.update(task, completed=count)
