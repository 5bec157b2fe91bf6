"""Rendering: tables that fit the terminal, aligned columns when piped, JSON, CSV, ids.

Whatever is printed is readable (`simcelery.readable`): stdout and stderr see to it, whoever writes there.
Only what styles its text writes behind them, `heading` and rich's `console`, and makes it readable before.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from simcelery.cli.words import one_line
from simcelery.readable import ReadableStream, json_text, line, readable

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "upstream_failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "scheduled": "blue",
    "blocked": "magenta",
    "lost": "yellow",
    "live": "green",
    "overdue": "red",
    "quarantined": "yellow",
    "ok": "green",
    "warn": "yellow",
    "FAIL": "bold red",
}


@dataclass(frozen=True)
class Column:
    """A column of a table. On a narrow terminal the `flexible` ones are cut first, the `wrapped` wrap."""

    name: str
    right: bool = False
    flexible: bool = False
    wrapped: bool = False
    coloured: bool = False

    @property
    def heading(self) -> str:
        """In capitals, unless it has a unit: GPa is not GPA."""
        return self.name if "(" in self.name else self.name.upper()


def is_terminal() -> bool:
    """Whether people read stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def readable_streams() -> Iterator[None]:
    """For the length of a block, nothing reaches stdout and stderr that is not readable."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and ReadableStream(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


@contextmanager
def unchanged_streams() -> Iterator[None]:
    """Within it, what the user's own code prints reaches the terminal as it is."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_behind, streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def _behind(stream: TextIO) -> TextIO:
    return stream.behind if isinstance(stream, ReadableStream) else stream


def console(*, stderr: bool = False) -> Console:
    """rich's console: it may style and move, the text that it is given may not."""
    from rich.console import Console
    from rich.segment import Segment

    class Readable(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(readable(segment.text), segment.style)

    return Readable(file=_behind(sys.stderr if stderr else sys.stdout), highlight=False)


def say(text: object = "") -> None:
    """A line of the answer."""
    _write(line(text) + "\n")


def note(text: object) -> None:
    """A line beside the answer: on stderr, so that pipes carry the answer only."""
    click.echo(line(text), file=sys.stderr)


def _write(text: str) -> None:
    click.echo(text, file=sys.stdout, nl=False)


def show_json(value: Any) -> None:
    """One JSON value. NaN and infinities are written as Python and jq read them."""
    _write(json_text(value, indent=2) + "\n")


def show_json_list(values: Iterable[Any]) -> None:
    """A JSON list of any length: written item by item, when piped each on a line."""
    indent = 2 if is_terminal() else None
    empty = True
    for value in values:
        _write(("[" if empty else ",") + "\n" + textwrap.indent(json_text(value, indent), "  "))
        empty = False
    _write("[]\n" if empty else "\n]\n")


def show_json_line(value: Any) -> None:
    """A JSON value on a line of its own."""
    _write(json_text(value) + "\n")


def show_csv(rows: Iterable[Sequence[Any]]) -> None:
    """Rows of cells: numbers are numbers, and no text is a formula to a spreadsheet."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in rows:
        writer.writerow([_csv_cell(cell) for cell in row])


_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan|infinity)", re.IGNORECASE)


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, dict | list):
        return json_text(cell)
    if not isinstance(cell, str):
        return cell
    # An apostrophe tells spreadsheets that the rest is text.
    formula = _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return readable(f"'{cell}" if formula else cell).replace("\n", "\\n")  # a job is a line


def show_ids(ids: Iterable[object]) -> None:
    """One id a line."""
    text = "".join(f"{line(each)}\n" for each in ids)
    if text:
        _write(text)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; aligned columns without any truncation when piped."""
    cells = [[one_line("" if cell is None else cell) for cell in row] for row in rows]
    if is_terminal():
        _rich_table(columns, cells)
    else:
        _plain_table(columns, cells)


def _plain_table(columns: Sequence[Column], rows: list[list[str]]) -> None:
    lines = [[one_line(column.heading) for column in columns], *rows]
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(columns))]
    for cells in lines:
        parts = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, cells, widths, strict=True)
        ]
        say("  ".join(parts).rstrip())


def _rich_table(columns: Sequence[Column], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # rich narrows columns that may wrap first; their cells, below, are cut instead of wrapped.
        table.add_column(
            Text(one_line(column.heading)),
            justify="right" if column.right else "left",
            no_wrap=not (column.flexible or column.wrapped),
        )
    for row in rows:
        table.add_row(
            *(
                Text(
                    cell,
                    style=STYLES.get(cell, "") if column.coloured else "",
                    no_wrap=not column.wrapped,
                    overflow="fold" if column.wrapped else "ellipsis",
                )
                for column, cell in zip(columns, row, strict=True)
            )
        )
    console().print(table)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; those without a value are left out."""
    shown = [(name, one_line(value)) for name, value in facts if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"  {name:<{width}}  {value}")


def heading(text: str) -> None:
    """The title of a part."""
    bold = is_terminal() and not os.environ.get("NO_COLOR")
    click.echo(click.style(line(text), bold=True) if bold else line(text), file=_behind(sys.stdout))
