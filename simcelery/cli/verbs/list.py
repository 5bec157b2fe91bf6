"""``list``: list jobs, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simcelery.cli.fields import (
    LinesOutput,
    chosen_fields,
    doubted,
    fields_option,
    lines_option,
    show_fields,
    show_records,
)
from simcelery.cli.options import Filters, Number, command, filter_options
from simcelery.cli.output import Column, note, show_ids, show_table
from simcelery.cli.selectors import Selection, ids_argument, or_doubts, which
from simcelery.describe.job import as_json, in_brief, summary
from simcelery.describe.words import ago, span
from simcelery.quantities import LARGEST

if TYPE_CHECKING:
    from simcelery.board.reads.pages import Page
    from simcelery.conditions.values import Name

T = TypeVar("T")
_DEFAULT_LIMIT = 20
_COLUMNS = (
    Column("id", right=True),
    Column("workflow", middle=True),
    Column("state", coloured=True),
    Column("parameters", flexible=True),
    Column("submitted", right=True, spare=True),
    Column("took", right=True, spare=True),
    Column("outcome", wrapped=True),
)
_RUN = ("running", "succeeded", "failed")


@command(
    "list",
    "simcelery list -s failed --since 2d",
    "simcelery list -w emt.relax -t oxides -n 100",
    "simcelery list -t oxides --fields id,fmax,energy,elapsed -o jsonl",
    "simcelery list --before 12345",
    "simcelery list -s failed -o quiet | simcelery retry -",
)
@ids_argument()
@filter_options
@click.option(
    "--before", type=Number(1, LARGEST), metavar="ID", help="Only jobs older than this one (the next page)."
)
@click.option("--after", type=Number(0, LARGEST), metavar="ID", help="Only jobs newer than this one.")
@fields_option
@lines_option
def list_(
    selection: Selection | None,
    filters: Filters,
    before: int | None,
    after: int | None,
    fields: str | None,
    output: LinesOutput,
) -> None:
    """List jobs, newest first.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    A table shows 20 jobs unless -n says otherwise; JSON and ids are complete. Use --before and --after to
    move from page to page.
    """
    from simcelery.board import reads
    from simcelery.board.reads import pages

    names = chosen_fields(fields)
    wanted = pages.Page.of(which(selection, filters), before=before, after=after)
    if output == "quiet":
        for ids in or_doubts(wanted, _all(wanted, filters.limit, pages.ids, lambda number: number)):
            show_ids(ids)
    elif names is not None:
        limit = filters.limit or (_DEFAULT_LIMIT if output == "table" else None)
        show_fields(names, doubted(names, or_doubts(wanted, _fields(wanted, limit, names))), output)
    elif output != "table":
        found = _all(wanted, filters.limit, reads.jobs, lambda row: row.id)
        jobs = or_doubts(wanted, (row for rows in found for row in rows))
        show_records((as_json(row) for row in jobs), output)
    else:
        _show_page(wanted, filters.limit or _DEFAULT_LIMIT)


def _all(
    wanted: Page, limit: int | None, read: Callable[..., list[T]], id_of: Callable[[T], int]
) -> Iterator[list[T]]:
    """The jobs, newest first; with both a limit and `after`, those that come right after it."""
    from simcelery.board import asking
    from simcelery.board.reads import pages

    if not (limit and wanted.follows):
        yield from pages.walk(wanted, read, id_of, limit=limit)
        return
    with asking.begin() as connection:
        yield read(connection, wanted, limit=limit, newest=False)[::-1]


def _fields(wanted: Page, limit: int | None, names: Sequence[Name]) -> Iterator[dict[str, Any]]:
    from simcelery.tables.reading import of_fields

    # With both a limit and `after`, those that come right after it.
    if limit and wanted.follows:
        yield from reversed([row.cells for row in of_fields(wanted, names, limit=limit)])
    else:
        yield from (row.cells for row in of_fields(wanted, names, limit=limit, newest=True))


def _show_page(wanted: Page, limit: int) -> None:
    from simcelery.board import asking, reads

    with asking.begin() as connection:
        # One more than is shown, to know whether there are more.
        found = reads.jobs(connection, wanted, limit=limit + 1, newest=not wanted.follows)
    rows = list(or_doubts(wanted, found))
    shown = rows[:limit][::-1] if wanted.follows else rows[:limit]
    show_table(
        _COLUMNS,
        [
            (
                row.id,
                row.workflow,
                row.state,
                summary(row.parameters),
                ago(row.submitted_at),
                span(row.started_at, row.finished_at) if row.state in _RUN else "",
                in_brief(row),
            )
            for row in shown
        ],
    )
    if len(rows) > len(shown):
        edge = f"--after {shown[0].id}" if wanted.follows else f"--before {shown[-1].id}"
        note(f"for more, add {edge}, or -n for a longer list; 'simcelery status' counts all")
