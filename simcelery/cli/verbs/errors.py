"""``errors``: why jobs failed, in groups; and which group ``retry --error`` means."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.cli.selectors import Selection, ids_argument, which
from simcelery.describe.records import jsonable
from simcelery.describe.words import ago, many
from simcelery.errors import UsageError
from simcelery.readable import short

if TYPE_CHECKING:
    from simcelery.board.queries import Filter
    from simcelery.board.summaries import ErrorGroup

_NEWEST = 5000  # failures that are read, unless -n says otherwise
_DIGITS = 9  # of the number of a group
_NAMES = 3  # workflows and nodes that are named in a cell
_COLUMNS = (
    Column("#", right=True),
    Column("count", right=True),
    Column("error", wrapped=True),
    Column("workflow", middle=True),
    Column("nodes", flexible=True, spare=True),
    Column("last", right=True, spare=True),
    Column("example", right=True),
)


@command(
    "errors",
    "simcelery errors",
    "simcelery errors -w emt.relax --since 2d",
    "simcelery retry --error 2",
    "simcelery errors -o quiet | simcelery retry - -y      # one job of each group, to see whether it helps",
)
@ids_argument()
@filter_options
@output_option
def errors(selection: Selection | None, filters: Filters, output: Output) -> None:
    """Show why jobs failed: how many with which type of error and message, on which nodes, and one example
    of each.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Messages count as the same if they differ only in paths and numbers. The newest 5,000 failures are
    read, or as many as -n says. The largest group is number 1; 'retry --error 1', with the same filters,
    retries all its jobs. With -o quiet one id of each group is printed.
    """
    newest = filters.limit or _NEWEST
    found = _groups(which(selection, filters), newest)
    if output == "quiet":
        show_ids(group.example for group in found)
    elif output == "json":
        show_json([{"number": number, **jsonable(asdict(group))} for number, group in enumerate(found, 1)])
    elif not found:
        say("no failures")
    else:
        show_table(_COLUMNS, [_cells(number, group) for number, group in enumerate(found, 1)])
        if sum(group.count for group in found) == newest:
            note(f"the newest {newest:,} failures; -n looks at more")


def _groups(wanted: Filter, newest: int) -> list[ErrorGroup]:
    from simcelery.board import engine, summaries

    with engine.begin() as connection:
        return summaries.errors(connection, wanted, newest)


def in_group(wanted: Filter, error: str) -> tuple[str, list[int]]:
    """What ``--error`` means, in words, and the ids of all its jobs.

    Parameters:
        error: a number of ``simcelery errors`` with the same filters, or a type.

    Raises:
        UsageError: there is no such group.
    """
    from simcelery.board import engine, summaries

    if not error.isdecimal():
        with engine.begin() as connection:
            ids = summaries.ids_with_error(connection, wanted, error, None)
        return error, ids
    found = _groups(wanted, _NEWEST)
    number = int(error) if len(error) <= _DIGITS else 0
    if not 1 <= number <= len(found):
        there = f"there are {many(len(found), 'group')}" if found else "nothing has failed"
        raise UsageError(
            f"there is no error {short(error)}: {there}; see 'simcelery errors' with the same filters"
        )
    group = found[number - 1]
    with engine.begin() as connection:
        ids = summaries.ids_with_error(connection, wanted, group.error_type, group.message)
    return in_words(group), ids


def in_words(group: ErrorGroup) -> str:
    """``ValueError: no convergence after # steps``."""
    return f"{group.error_type}: {group.message}".rstrip(": ")


def _cells(number: int, group: ErrorGroup) -> tuple[object, ...]:
    return (
        number,
        f"{group.count:,}",
        in_words(group),
        _some(group.workflows),
        _some(group.hosts),
        ago(group.last_at),
        group.example,
    )


def _some(names: list[str]) -> str:
    """A few names, and how many more there are."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" +{more:,}" if more > 0 else "")
