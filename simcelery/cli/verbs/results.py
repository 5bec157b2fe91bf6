"""``results``: print the results of many jobs, or write them to a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from simcelery.cli.counting import counting
from simcelery.cli.fields import (
    LinesOutput,
    chosen_fields,
    doubted,
    fields_option,
    lines_option,
    show_fields,
    show_records,
)
from simcelery.cli.fit import GAP, Column, cells
from simcelery.cli.options import Filters, command, filter_options
from simcelery.cli.output import (
    heading,
    is_terminal,
    note,
    say,
    show_csv,
    show_ids,
    show_json,
    show_table,
    width,
)
from simcelery.cli.selectors import Selection, at_once, ids_argument, or_doubts, which
from simcelery.describe.job import as_json, text_of
from simcelery.describe.words import many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import Filter, JobRow
    from simcelery.conditions.values import Name
    from simcelery.tables import gathering
    from simcelery.tables.gathering import Gathered
    from simcelery.tables.reading import Row


@command(
    "results",
    "simcelery results -w emt.relax -t oxides",
    "simcelery results -t oxides --fields structure,fmax,energy,stress.0 -O oxides.parquet",
    "simcelery results -w emt.relax --where 'energy < -3 and fmax <= 0.05' -O stable.csv",
    "simcelery results 1-100 --format csv > energies.csv",
    "simcelery results -t demo -o json | jq '.[].result.energy'",
)
@ids_argument()
@filter_options
@fields_option
@click.option("--all-fields", is_flag=True, help="All parameters and results, also those that do not vary.")
@click.option(
    "--all", "all_jobs", is_flag=True, help="Also jobs that did not succeed (yet), with states and errors."
)
@click.option(
    "-O",
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a typed table to a file: .parquet, .csv, .jsonl or .json.",
)
@click.option("--force", is_flag=True, help="With -O: replace a file that exists.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json"]),
    help="Output format (default: that of --output).",
)
@lines_option
def results(
    selection: Selection | None,
    filters: Filters,
    fields: str | None,
    all_fields: bool,
    all_jobs: bool,
    to: Path | None,
    force: bool,
    format_: Literal["table", "csv", "json"] | None,
    output: LinesOutput,
) -> int:
    """Print the results of all jobs that succeeded, with their parameters, oldest first.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    A file made with -O has a column for the id, for each parameter that varies, and for each result that is
    a number, a text, or true or false; --fields chooses the columns, and --all-fields has all of them.

    Jobs that match but did not succeed (yet) are left out; stderr says how many, by state. Exit code 1 if
    any job in IDS has not succeeded; with filters alone it is 0.
    """
    names = chosen_fields(fields)
    if names is not None and all_fields:
        raise UsageError("--fields chooses some fields, and --all-fields takes all: give one of them")
    if not all_jobs and (others := sorted(set(filters.states) - {"succeeded"})):
        raise UsageError(
            f"only jobs that succeeded have results, but -s {others[0]} asks for others: add --all, or "
            f"use 'simcelery list -s {others[0]}' or 'simcelery errors'"
        )
    everything = at_once(which(selection, filters))
    wanted = everything if all_jobs else replace(everything, states=("succeeded",))
    if to is not None:
        _write(to, force, _Table(wanted, names, all_fields, all_jobs, filters.limit), output)
    elif (format_ or output) == "csv":
        table = _Table(wanted, names, names is None, all_jobs, filters.limit)
        with table.gathered() as found:
            columns, _ = table.columns(found)
            table.say_empty(found, columns)
            rows = ([row.get(column.name) for column in columns] for row in found.rows())
            show_csv(chain([[column.title for column in columns]], rows))
    elif names is not None or all_fields:
        _show_cells(_Table(wanted, names, all_fields, all_jobs, filters.limit), format_ or output)
    else:
        _show(wanted, filters.limit, all_jobs, format_ or output)
    if to is not None or (format_ or output) in ("table", "csv"):
        _say_mixed(wanted, names, filters.limit)
    missing = not all_jobs and _say_left_out(everything)
    return 1 if missing and selection is not None else 0


def _say_mixed(wanted: Filter, names: Sequence[Name] | None, limit: int | None) -> None:
    """Say on stderr that results come from several versions of a file, unless a column says from which."""
    from simcelery.describe import versions

    if names is not None and any(name.parts == ("source",) for name in names):
        return
    for mixed in versions.mixed(wanted, limit):
        note(f"these results are of {mixed}; --fields …,source tells them apart")


def _say_left_out(wanted: Filter) -> bool:
    """Count on stderr the jobs that did not succeed, by state; return whether there are any."""
    from simcelery.board import engine, reads
    from simcelery.board.reads import gates

    with engine.begin() as connection:
        counts = reads.counts(connection, wanted)
        held = gates.count_held(connection, wanted)
    left_out = {str(state): number for state, number in counts.items() if state != "succeeded"}
    if not left_out:
        return False
    if held:
        left_out |= {"blocked": left_out["blocked"] - held, "held": held}
    by_state = ", ".join(f"{number:,} {state}" for state, number in left_out.items() if number)
    missing, total = sum(left_out.values()), sum(counts.values())
    note(f"simcelery: {missing:,} of {total:,} jobs did not succeed (yet): {by_state}; --all shows them too")
    return True


def _show(wanted: Filter, limit: int | None, all_jobs: bool, output: str) -> None:
    """The jobs themselves."""
    found = or_doubts(wanted, islice(_jobs(wanted), limit))
    if output == "quiet":
        show_ids(row.id for row in found)
    elif output in ("json", "jsonl"):
        show_records((as_json(row) for row in found), output)
    else:
        _show_all([_flat(row, all_jobs) for row in found])


def _jobs(wanted: Filter) -> Iterator[JobRow]:
    """The jobs, oldest first."""
    from simcelery.board import reads
    from simcelery.board.reads import pages

    for rows in pages.walk(pages.Page.of(wanted), reads.jobs, lambda row: row.id, newest=False):
        yield from rows


@dataclass(frozen=True)
class _Table:
    """What was asked for: these fields, or those that tell the jobs apart, or all."""

    wanted: Filter
    names: Sequence[Name] | None
    all_fields: bool
    all_jobs: bool
    limit: int | None

    def rows(self) -> Iterator[Row]:
        """The cells, straight from the board."""
        from simcelery.tables import reading

        if self.names is not None:
            rows = reading.of_fields(self.wanted, self.names, limit=self.limit)
        else:
            extra = ("state", "error") if self.all_jobs else ()
            rows = reading.of_everything(self.wanted, extra, limit=self.limit)
        return or_doubts(self.wanted, rows)

    def gathered(self) -> Gathered:
        """The same in a temporary file."""
        from simcelery.tables.gathering import Gathered

        found = Gathered()
        with counting("jobs read") as counted:
            found.add(counted(self.rows()))
        return found

    def columns(self, found: Gathered) -> tuple[list[gathering.Column], list[gathering.Column]]:
        """Its columns, and those that vary and are left out."""
        if self.names is not None:
            return found.of_fields(self.names), []
        return (found.everything(), []) if self.all_fields else found.telling()

    def say_empty(self, found: Gathered, columns: Sequence[gathering.Column]) -> None:
        """Say on stderr of which fields that were asked for no job has a value."""
        from simcelery.tables import doubts

        for title in doubts.empty(self.names, columns) if self.names and found.count else ():
            note(f"{title}: none of these jobs has a value")


def _show_cells(table: _Table, output: str) -> None:
    if output == "quiet":
        show_ids(row.id for row in table.rows())
    elif table.names is not None:
        show_fields(table.names, doubted(table.names, (row.cells for row in table.rows())), output)
    elif output in ("json", "jsonl"):
        show_records((row.cells for row in table.rows()), output)
    else:
        with table.gathered() as found:
            columns, _ = table.columns(found)
            rows = [[_text(row, column.name, None) for column in columns] for row in found.rows()]
            show_table(
                [Column(column.title, right=column.name == "id", wrapped=True) for column in columns], rows
            )


def _write(path: Path, force: bool, table: _Table, output: str) -> None:
    """Write a file; what is in it is said on stdout, and what may surprise on stderr."""
    from simcelery.tables import files

    files.check(path, replace=force)
    with files.complete(path, replace=force) as file, table.gathered() as found:
        columns, left_out = table.columns(found)
        with counting("jobs written", found.count) as counted:
            files.write(file, path.suffix, columns, counted(found.rows()))
    for column in columns:
        if said := files.surprises(column, path.suffix):
            note(f"{column.title}: {said}; written as text")
    table.say_empty(found, columns)
    if left_out:
        names = ", ".join(column.name for column in left_out[:_MOST_SAME])
        note(f"{many(len(left_out), 'more column')}, with --all-fields or --fields: {names}")
    if output in ("json", "jsonl"):
        show_json({"file": str(path), "jobs": found.count, "columns": [column.title for column in columns]})
    elif output == "table":
        say(f"{many(found.count)} in {path}: {', '.join(column.title for column in columns)}")


def _flat(row: JobRow, all_jobs: bool) -> dict[str, Any]:
    """A job as cells: ``parameters.x`` and ``result.x``, or ``result`` where it is not a dictionary."""
    from simcelery.tables.reading import spread

    cells: dict[str, Any] = {"id": row.id, "workflow": row.workflow}
    if all_jobs:
        cells |= {"state": str(row.state), "error": row.error}
    return cells | spread(row.workflow, row.parameters, row.result)


def _names(names: Iterable[str]) -> list[str]:
    """All columns in their order of appearance, parameters before results."""
    return [name for name in names if not _is_result(name)] + [name for name in names if _is_result(name)]


def _is_result(name: str) -> bool:
    return name == "result" or name.startswith("result.")


def _show_all(rows: list[dict[str, Any]]) -> None:
    """One complete table for pipes; on a terminal, one table per workflow that fits its width."""
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
