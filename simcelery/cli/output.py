"""Rendering: tables that fit the terminal, aligned columns when piped, JSON, CSV, ids.

Everything printed is made readable (`simcelery.readable`): stdout and stderr are wrapped to ensure it,
whoever writes to them. Only styled text bypasses the wrappers (`heading`, rich's `console`); it is made
readable first.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

import click

from simcelery.cli import fit
from simcelery.cli.fit import Column as Column
from simcelery.describe.words import one_line
from simcelery.readable import ReadableStream, csv_cell, json_text, line, readable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_HANG = 2  # cells by which the continuation of a broken line is indented
_WIDE = 110  # cells; a terminal this wide has room for long bars
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


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def width() -> int:
    """The width of the terminal, in cells."""
    return shutil.get_terminal_size().columns


def bar_width() -> int:
    """The length of a progress bar: on a narrow terminal the numbers matter more."""
    return 30 if width() >= _WIDE else 15


@contextmanager
def readable_streams() -> Iterator[None]:
    """Within the block, only readable text reaches stdout and stderr."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and ReadableStream(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


@contextmanager
def unchanged_streams() -> Iterator[None]:
    """Within the block, what the user's own code prints reaches the terminal unchanged."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_behind, streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def _behind(stream: TextIO) -> TextIO:
    return stream.behind if isinstance(stream, ReadableStream) else stream


def console(*, stderr: bool = False) -> Console:
    """A rich console: it may use colours and move the cursor, but the text it is given may not."""
    from rich.console import Console
    from rich.segment import Segment

    class Readable(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(readable(segment.text), segment.style)

    return Readable(file=_behind(sys.stderr if stderr else sys.stdout), highlight=False)


def say(text: object = "", hang: int | None = None) -> None:
    """Print a line of the answer; on a terminal it is wrapped.

    Parameters:
        hang: indentation of the lines after the first; by default a little more than that of the first.
    """
    for part in _fitting(line(text), is_terminal(), hang):
        write(part + "\n")


def write(text: str) -> None:
    """Print a piece of text as it is, at once."""
    click.echo(text, file=sys.stdout, nl=False)


def note(text: object) -> None:
    """Print a remark on stderr, so that a pipe carries only the answer."""
    for part in _fitting(line(text), sys.stderr is not None and sys.stderr.isatty()):
        click.echo(part, file=sys.stderr)


def remark(text: object) -> None:
    """The same, with the name of the command line in front."""
    note(f"simcelery: {text}")


def _fitting(text: str, terminal: bool, hang: int | None = None) -> list[str]:
    if not terminal:
        return [text]
    indented = len(text) - len(text.lstrip()) + _HANG
    return fit.wrapped_line(text, width(), indented if hang is None else hang)


def show_json(value: Any) -> None:
    """Print one JSON value. NaN and infinities are written the way Python and jq read them."""
    write(json_text(value, indent=2) + "\n")


def show_json_list(values: Iterable[Any]) -> None:
    """Print a JSON list of any length, item by item; when piped, one item per line."""
    indent = 2 if is_terminal() else None
    empty = True
    for value in values:
        write(("[" if empty else ",") + "\n" + textwrap.indent(json_text(value, indent), "  "))
        empty = False
    write("[]\n" if empty else "\n]\n")


def show_json_line(value: Any) -> None:
    """Print a JSON value on one line."""
    write(json_text(value) + "\n")


def show_csv(rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV: numbers stay numbers, and no spreadsheet will take a text for a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in rows:
        writer.writerow([csv_cell(cell) for cell in row])


def show_ids(ids: Iterable[object]) -> None:
    """Print one id per line."""
    text = "".join(f"{line(each)}\n" for each in ids)
    if text:
        write(text)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that fits the terminal; when piped, aligned columns with nothing cut."""
    if is_terminal():
        drawn = console()
        for text in fit.table(*_styled(columns, rows), width()):
            drawn.print(text, soft_wrap=True)
    else:
        _plain_table(columns, [[_cell(value) for value in row] for row in rows])


def place(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> fit.Layout:
    """How the columns would be arranged on this terminal."""
    return fit.layout(*_styled(columns, rows), width())


def _styled(
    columns: Sequence[Column], rows: Sequence[Sequence[object]]
) -> tuple[list[Column], list[list[Text]]]:
    from rich.text import Text

    styled = []
    for row in rows:
        styled.append(
            [
                value if isinstance(value, Text) else Text(_cell(value), _style(column, value))
                for column, value in zip(columns, row, strict=True)
            ]
        )
    return [replace(column, name=one_line(column.name)) for column in columns], styled


def _style(column: Column, value: object) -> str:
    return STYLES.get(str(value), "") if column.coloured else ""


def in_states(numbers: Iterable[tuple[str, int]]) -> Text:
    """The count of each state, coloured; a number is never wrapped away from its state."""
    from rich.text import Text

    parts = [Text(f"{number:,}\xa0{state}", STYLES.get(state, "")) for state, number in numbers if number]
    return Text("  ").join(parts)


def _cell(value: object) -> str:
    return one_line("" if value is None else value)


def _plain_table(columns: Sequence[Column], rows: list[list[str]]) -> None:
    lines = [[one_line(column.heading) for column in columns], *rows]
    widths = [max(fit.cells(cells[i]) for cells in lines) for i in range(len(columns))]
    for cells in lines:
        parts = []
        for column, cell, wide in zip(columns, cells, widths, strict=True):
            space = " " * (wide - fit.cells(cell))
            parts.append(space + cell if column.right else cell + space)
        write("  ".join(parts).rstrip() + "\n")


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair per line; those without a value are left out."""
    shown = [(name, one_line(value)) for name, value in facts if value not in (None, "", [])]
    longest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"  {name:<{longest}}  {value}", hang=longest + 4)


def heading(text: str) -> None:
    """Print a section title."""
    bold = is_terminal() and not os.environ.get("NO_COLOR")
    for part in _fitting(line(text), is_terminal()):
        click.echo(click.style(part, bold=True) if bold else part, file=_behind(sys.stdout))
