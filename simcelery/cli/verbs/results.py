"""``results``: print the results of many jobs."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Literal

import click

from simcelery.cli.fit import GAP, Column, cells
from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import (
    heading,
    is_terminal,
    note,
    say,
    show_csv,
    show_ids,
    show_json_list,
    show_table,
    width,
)
from simcelery.cli.selectors import Selection, ids_argument, which
from simcelery.describe.job import as_json, text_of
from simcelery.describe.plain import plain
from simcelery.describe.words import many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter, JobRow


@command(
    "results",
    "simcelery results -w emt.relax -t oxides",
    "simcelery results 1-100 --format csv > energies.csv",
    "simcelery results -t demo -o json | jq '.[].result.energy'",
)
@ids_argument()
@filter_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json"]),
    help="Output format (default: that of --output).",
)
@output_option
def results(
    selection: Selection | None,
    filters: Filters,
    format_: Literal["table", "csv", "json"] | None,
    output: Output,
) -> int:
    """Print the results of all jobs that succeeded, with their parameters, oldest first.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Exit code 1 if any job in IDS has not succeeded.
    """
    if others := sorted(set(filters.states) - {"succeeded"}):
        raise UsageError(
            f"only jobs that succeeded have results, but -s {others[0]} asks for others: "
            f"use 'simcelery list -s {others[0]}' or 'simcelery errors'"
        )
    # Jobs named by id are counted even if they did not succeed; a filter asks only for those that did.
    wanted = which(selection, filters, None if selection else ("succeeded",))
    looked_at: Counter[bool] = Counter()
    succeeded = _succeeded(wanted, looked_at)
    found = islice(succeeded, filters.limit)
    match format_ or output:
        case "quiet":
            show_ids(row.id for row in found)
        case "json":
            show_json_list(as_json(row) for row in found)
        case "csv":
            _write_csv(found)
        case _:
            _show_all(found)
    if selection:
        deque(succeeded, 0)  # those beyond the limit count, too
    if not looked_at[False]:
        return 0
    note(f"simcelery: {looked_at[False]:,} of {looked_at.total():,} jobs did not succeed (yet)")
    return 1


def _succeeded(wanted: Filter, looked_at: Counter[bool]) -> Iterator[JobRow]:
    """The jobs that succeeded, oldest first."""
    from simcelery.board import reads
    from simcelery.board.reads import pages

    for rows in pages.walk(pages.Page.of(wanted), reads.jobs, lambda row: row.id, newest=False):
        for row in rows:
            succeeded = row.state == "succeeded"
            looked_at[succeeded] += 1
            if succeeded:
                yield row


def _flat(row: JobRow) -> dict[str, Any]:
    """A job as cells: ``parameters.x`` and ``result.x``, or ``result`` where it is not a dictionary."""
    cells: dict[str, Any] = {"id": row.id, "workflow": row.workflow}
    cells |= {f"parameters.{name}": plain(value) for name, value in row.parameters.items()}
    value = plain(row.result)
    if isinstance(value, dict):
        return cells | {f"result.{name}": item for name, item in value.items()}
    return cells | {"result": value}


def _names(names: Iterable[str]) -> list[str]:
    """All columns in their order of appearance, parameters before results."""
    return [name for name in names if not _is_result(name)] + [name for name in names if _is_result(name)]


def _is_result(name: str) -> bool:
    return name == "result" or name.startswith("result.")


def _write_csv(found: Iterable[JobRow]) -> None:
    """Any job may bring a new column, so the rows go to a temporary file until all columns are known."""
    names = dict.fromkeys(("id", "workflow"))
    with TemporaryFile("w+") as waiting:
        for row in found:
            cells = _flat(row)
            names |= dict.fromkeys(cells)
            waiting.write(json.dumps(cells) + "\n")
        waiting.seek(0)
        header = _names(names)
        rows = map(json.loads, waiting)
        show_csv(chain([header], ([cells.get(name) for name in header] for cells in rows)))


def _show_all(found: Iterable[JobRow]) -> None:
    """One complete table for pipes; on a terminal, one table per workflow that fits its width."""
    rows = [_flat(row) for row in found]
    if not (rows and is_terminal()):
        names = _names(dict.fromkeys(name for row in rows for name in row)) or ["id", "workflow"]
        columns = [Column(title, right=title == "id") for title in _titles(names)]
        show_table(columns, [[_text(row, name, None) for name in names] for row in rows])
        return
    for number, workflow in enumerate(dict.fromkeys(row["workflow"] for row in rows)):
        say() if number else None
        heading(workflow)
        _show_fitting([row for row in rows if row["workflow"] == workflow])


def _titles(names: list[str]) -> list[str]:
    """Names without ``parameters.`` or ``result.``, unless that would give two columns the same name."""
    short = [name.partition(".")[2] or name for name in names]
    return [name if short.count(brief) > 1 else brief for name, brief in zip(names, short, strict=True)]


def _show_fitting(rows: list[dict[str, Any]]) -> None:
    """As many columns as there is room for; values that are the same in all jobs are printed once."""
    names = _names(dict.fromkeys(name for row in rows for name in row if name != "workflow"))
    titles = dict(zip(names, _titles(names), strict=True))
    texts = {name: [_text(row, name) for row in rows] for name in names}
    same = [name for name in names[1:] if len(rows) > 1 and len(set(texts[name])) == 1][:_MOST_SAME]
    columns = {name: _column(titles[name], rows, name) for name in names}
    shown = _chosen([name for name in names if name not in same], columns, texts)
    show_table([columns[name] for name in shown], list(zip(*(texts[name] for name in shown), strict=True)))
    if same:
        say("  in all: " + ", ".join(f"{titles[name]}={texts[name][0]}" for name in same))
    if more := [titles[name] for name in names if name not in (*same, *shown)]:
        named = ", ".join(more[:_MOST_SAME]) + (", …" if len(more) > _MOST_SAME else "")
        say(f"  {many(len(more), 'more column')}, with --format csv or -o json: {named}")


_MOST_SAME = 12  # columns named below a table


def _column(title: str, rows: list[dict[str, Any]], name: str) -> Column:
    """A column that may be cut, unless it holds numbers: a number cut short is a different number."""
    numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
    return Column(title, right=name == "id", middle=not numbers)


def _chosen(names: list[str], columns: dict[str, Column], texts: dict[str, list[str]]) -> list[str]:
    """The columns that fit, chosen alternately from parameters and results, each in their order."""
    results = [name for name in names if _is_result(name)]
    parameters = [name for name in names if not _is_result(name)]
    in_turn = [name for pair in zip_longest(parameters, results) for name in pair if name is not None]
    needed = {
        name: columns[name].least(max(map(cells, (columns[name].heading, *texts[name])))) for name in names
    }
    room, chosen = width() + GAP, set()
    for name in in_turn:
        if GAP + needed[name] <= room:
            chosen.add(name)
            room -= GAP + needed[name]
    return [name for name in names if name in chosen]


def _text(row: dict[str, Any], name: str, most: int | None = 60) -> str:
    value = row.get(name)
    return "" if value is None else text_of(value, most)
