"""``errors``: show why jobs failed, in groups."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from simcelery.cli.error_groups import NEWEST, groups, in_words
from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.cli.selectors import Selection, ids_argument, which
from simcelery.describe.plain import jsonable
from simcelery.describe.words import ago

if TYPE_CHECKING:
    from simcelery.board.reads.summaries import ErrorGroup

_NAMES = 3  # workflows or nodes named in a cell
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
@output_option
def errors(selection: Selection | None, filters: Filters, output: Output) -> None:
    """Show why jobs failed: group them by error type and message, with a count, nodes and an example.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Messages that differ only in paths and numbers count as the same. Looks at the newest 5,000 failures,
    or as many as -n says. The largest group is number 1; 'retry --error 1' with the same filters retries
    all its jobs. With -o quiet, prints one id from each group.
    """
    newest = filters.limit or NEWEST
    found = groups(which(selection, filters), newest)
    if output == "quiet":
        show_ids(group.example for group in found)
    elif output == "json":
        show_json([{"number": number, **jsonable(asdict(group))} for number, group in enumerate(found, 1)])
    elif not found:
        say("no failures")
    else:
        show_table(_COLUMNS, [_cells(number, group) for number, group in enumerate(found, 1)])
        if sum(group.count for group in found) == newest:
            note(f"these are the newest {newest:,} failures; -n looks at more")


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
    """The first few names, and the number of the others."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" +{more:,}" if more > 0 else "")
