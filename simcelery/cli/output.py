"""Rendering: tables that fit the terminal, aligned columns when piped, JSON, ids."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from simcelery.cli.words import one_line

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


def say(text: str = "") -> None:
    """A line of the answer."""
    click.echo(text)


def note(text: str) -> None:
    """A line beside the answer: on stderr, so that pipes carry the answer only."""
    click.echo(text, err=True)


def show_json(value: Any) -> None:
    """One JSON value. NaN and infinities are written as Python and jq read them."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def show_json_list(values: Iterable[Any]) -> None:
    """A JSON list of any length: written item by item, when piped each on a line."""
    indent = 2 if is_terminal() else None
    empty = True
    for value in values:
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        click.echo(("[" if empty else ",") + "\n" + textwrap.indent(text, "  "), nl=False)
        empty = False
    say("[]" if empty else "\n]")


def show_ids(ids: Iterable[object]) -> None:
    """One id a line."""
    text = "\n".join(map(str, ids))
    if text:
        say(text)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; aligned columns without any truncation when piped."""
    cells = [[one_line("" if cell is None else cell) for cell in row] for row in rows]
    if is_terminal():
        _rich_table(columns, cells)
    else:
        _plain_table(columns, cells)


def _plain_table(columns: Sequence[Column], rows: list[list[str]]) -> None:
    lines = [[column.heading for column in columns], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        parts = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        say("  ".join(parts).rstrip())


def _rich_table(columns: Sequence[Column], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # rich narrows columns that may wrap first; their cells, below, are cut instead of wrapped.
        table.add_column(
            column.heading,
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
    Console(highlight=False).print(table)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; those without a value are left out."""
    shown = [(name, one_line(value)) for name, value in facts if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"  {name:<{width}}  {value}")


def heading(text: str) -> None:
    """The title of a part."""
    say(click.style(text, bold=True) if is_terminal() and not os.environ.get("NO_COLOR") else text)
