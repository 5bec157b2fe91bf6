"""Selectors: the jobs that ``42``, ``1-5,8``, ``last`` and ``-`` stand for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simcelery.cli.completions import job_ids
from simcelery.cli.options import Filters
from simcelery.cli.output import remark
from simcelery.errors import JobNotFoundError, UsageError
from simcelery.quantities import LARGEST
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter
    from simcelery.board.states import State

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_IDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
_MANY = 5000  # ids per query
_FEW = 10_000  # jobs that are found faster by their ids than by a condition


@dataclass(frozen=True)
class Selection:
    """The jobs that the selectors name.

    Attributes:
        numbers: ids named one by one; each must be on the board.
        ranges: first and last id; gaps are no error, as long as each range holds a job.
        last: whether the job recorded last is named.
        single: whether exactly one job was named, so that its output is not a list.
    """

    numbers: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    last: bool = False
    single: bool = False

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        ranges = (f"{first}-{last}" for first, last in self.ranges)
        return ",".join([*map(str, self.numbers), *ranges]) + (" last" if self.last else "")


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise UsageError("stdin is not UTF-8 text; expected job ids") from None


def parse(texts: Sequence[str], read_stdin: Callable[[], str] = _stdin) -> Selection | None:
    """The jobs that the selectors name; None if there are no selectors.

    Raises:
        UsageError: a text is not a selector.
    """
    if not texts:
        return None
    words: list[str] = []
    for text in texts:
        words += _split(read_stdin()) if text == "-" else _split(text)
    if not words and "-" not in texts:
        raise UsageError(f"{short(' '.join(texts))} is not a job id: write 42, 1-5,8, last or -")
    numbers: list[int] = []
    ranges: list[tuple[int, int]] = []
    for word in words:
        if match := _IDS.fullmatch(word):
            first, last = int(match[1]), int(match[2] or match[1])
            if first > last:
                raise UsageError(f"{word!r} is not a range of ids: write the smaller one first, such as 1-5")
            if last > LARGEST:
                raise UsageError(f"{word!r}: no job has an id this large")
            if match[2] is None:
                numbers.append(first)
            else:
                ranges.append((first, last))
        elif word != "last":
            raise UsageError(f"{short(word)} is not a job id: write 42, 1-5,8, last or - (ids from stdin)")
    single = len(words) == 1 and not ranges and "-" not in texts
    return Selection(tuple(dict.fromkeys(numbers)), tuple(ranges), "last" in words, single)


def tag_or_ids(words: Sequence[str], filters: Filters) -> tuple[Selection | None, Filters]:
    """What is named: ids, or a tag, which is then among the filters.

    Raises:
        UsageError: it is neither.
    """
    try:
        return parse(words), filters
    except UsageError:
        if tuple(words) == ("-",):
            raise
        if len(words) != 1:
            raise UsageError(
                f"{short(' '.join(words))}: give one tag, or job ids (42, 1-5,8, last, -); more tags with -t"
            ) from None
    return None, replace(filters, tags=(*filters.tags, words[0]))


def _split(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def ids_argument(*, required: bool = False) -> Callable[[F], F]:
    """The argument ``IDS``, as a `Selection` or None."""

    def convert(ctx: click.Context, _: click.Parameter, value: tuple[str, ...]) -> Selection | None:
        return None if ctx.resilient_parsing else parse(value)

    return click.argument(
        "selection",
        nargs=-1,
        metavar="IDS" if required else "[IDS]...",
        required=required,
        callback=convert,
        shell_complete=job_ids,
    )


def resolve(selection: Selection) -> list[int]:
    """The ids that a selection names, ascending. Ranges end at the newest job.

    Raises:
        JobNotFoundError: an id is not on the board, a range holds no job, or the board has no last job.
    """
    from simcelery.board import asking, reads

    found = set(selection.numbers)
    with asking.begin() as connection:
        newest = reads.last_id(connection) if selection.last or selection.ranges else None
        known: set[int] = set()
        for part in chunks(sorted(found)):
            known.update(reads.states(connection, part))
        empty = [ends for ends in selection.ranges if not reads.any_between(connection, *ends)]
    if missing := sorted(found - known):
        raise JobNotFoundError(f"there is no job {missing[0]}")
    if empty:
        raise JobNotFoundError(f"there are no jobs in the range {empty[0][0]}-{empty[0][1]}")
    done = 0
    for first, last in sorted(selection.ranges):  # each id once, however often it is named
        found.update(range(max(first, done + 1), min(last, newest or 0) + 1))
        done = max(done, last)
    if selection.last:
        if newest is None:
            raise JobNotFoundError("the board has no jobs yet")
        found.add(newest)
    return sorted(found)


def which(selection: Selection | None, filters: Filters, states: Sequence[str] | None = None) -> Filter:
    """The filter for jobs that match both selectors and filters; `states` replaces the filters' states.

    Raises:
        JobNotFoundError: as `resolve`.
        UsageError: a filter is malformed.
    """
    return filters.to_board(None if selection is None else resolve(selection), states)


def written(selection: Selection | None, filters: Filters) -> str:
    """The selectors and filters as on the command line, without a state: for commands about the same jobs."""
    from simcelery.describe.sweep import in_words

    return in_words(
        ids="" if selection is None else selection.text,
        workflow=filters.workflow,
        tags=filters.tags,
        queue=filters.queue,
        since=filters.since,
        where=filters.where,
    )


def at_once(wanted: Filter) -> Filter:
    """The same jobs by their ids, where a condition chooses few: then it is asked of all others only once."""
    if wanted.where is None or wanted.ids is not None:
        return wanted
    from simcelery.board import asking
    from simcelery.board.reads import pages

    with asking.begin() as connection:
        found = pages.ids(connection, pages.Page.of(wanted), limit=_FEW + 1, newest=False)
    return wanted if len(found) > _FEW else replace(wanted, ids=found)


def the_only(selection: Selection) -> int:
    """The one job that is named.

    Raises:
        UsageError: more than one is named.
        JobNotFoundError: it is not on the board.
    """
    ids = resolve(selection)
    if len(ids) != 1:
        raise UsageError(f"this command takes one job, not {len(ids):,}: give one id, such as 42 or last")
    return ids[0]


def chosen(
    selection: Selection | None, filters: Filters, states: frozenset[State] | None
) -> tuple[list[int], dict[str, int]]:
    """The matching ids, and the number of them in each state."""
    from simcelery.board import asking, reads

    possible = [state for state in filters.states if states is None or state in states]
    if filters.states and not possible:
        return [], {}
    wanted = at_once(which(selection, filters, possible or (sorted(states) if states else ())))
    with asking.begin() as connection:
        counts = reads.counts(connection, wanted)
        ids = reads.ids(connection, wanted)[: filters.limit]
    ids = list(or_doubts(wanted, ids))
    return ids, {str(state): number for state, number in counts.items()}


def or_doubts(wanted: Filter, found: Iterable[T]) -> Iterator[T]:
    """What was found; if that is nothing, names in the condition that no job has are said on stderr."""
    empty = True
    for each in found:
        empty = False
        yield each
    if empty and wanted.where is not None:
        from simcelery.tables.doubts import said

        if text := said(wanted):
            remark(f"--where: {text}")


def require(selection: Selection | None, filters: Filters, verb: str) -> None:
    """Refuse to act on the whole board just because no jobs were named.

    Raises:
        UsageError: neither a selector nor a filter is given.
    """
    if selection is None and not filters.given:
        raise UsageError(f"which jobs to {verb}? Give ids (42, 1-5,8, last, -) or a filter such as -w or -t")


def chunks(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    """The ids in chunks small enough for one query."""
    return (ids[start : start + _MANY] for start in range(0, len(ids), _MANY))
