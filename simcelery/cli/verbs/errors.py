"""``errors``: show why jobs failed, in groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from simcelery.cli.error_groups import groups
from simcelery.cli.fields import (
    LinesOutput,
    chosen_fields,
    fields_option,
    lines_option,
    picked,
    show_fields,
    show_records,
)
from simcelery.cli.options import Filters, command, filter_options
from simcelery.cli.output import Column, note, say, show_ids, show_table
from simcelery.cli.selectors import Selection, ids_argument, which, written
from simcelery.describe.error_groups import NEWEST, in_words, some
from simcelery.describe.plain import jsonable
from simcelery.describe.words import ago, many

if TYPE_CHECKING:
    from simcelery.board.reads.filters import Filter
    from simcelery.board.reads.summaries import ErrorGroup

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
    "simcelery errors -o quiet | simcelery retry - -y      # one job of each group, as a test",
)
@ids_argument()
@filter_options
@fields_option
@lines_option
def errors(selection: Selection | None, filters: Filters, fields: str | None, output: LinesOutput) -> None:
    """Show why jobs failed: group them by error type and message, with a count, nodes and an example.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Messages that differ only in paths and numbers count as the same. Looks at the newest 5,000 failures,
    or as many as -n says. The largest group is number 1; 'retry --error 1' with the same filters retries
    all its jobs. With -o quiet, prints one id from each group.
    """
    names = chosen_fields(fields)
    newest = filters.limit or NEWEST
    wanted = which(selection, filters)
    found = groups(wanted, newest)
    if output == "quiet":
        show_ids(group.example for group in found)
    elif names is not None:
        show_fields(names, [picked(record, names) for record in _records(found)], output)
    elif output != "table":
        show_records(_records(found), output)
    elif not found:
        say("no failures")
        _note_others(wanted, written(selection, filters))
    else:
        show_table(_COLUMNS, [_cells(number, group) for number, group in enumerate(found, 1)])
        if sum(group.count for group in found) == newest:
            note(f"these are the newest {newest:,} failures; -n looks at more")
        _note_others(wanted, written(selection, filters))


def _note_others(wanted: Filter, same: str) -> None:
    """Say how many of these jobs could not run because of others."""
    from simcelery.board import asking, reads

    if wanted.states:
        return
    with asking.begin() as connection:
        found = reads.counts(connection, replace(wanted, states=("upstream_failed",)))
    if number := sum(found.values()):
        command = f"simcelery errors -s upstream_failed {same}".rstrip()
        note(f"{many(number)} could not run because of others: {command}")


def _records(found: list[ErrorGroup]) -> Iterator[dict[str, Any]]:
    for number, group in enumerate(found, 1):
        yield {"number": number, **jsonable(asdict(group))}


def _cells(number: int, group: ErrorGroup) -> tuple[object, ...]:
    return (
        number,
        f"{group.count:,}",
        in_words(group),
        some(group.workflows),
        some(group.hosts),
        ago(group.last_at),
        group.example,
    )
