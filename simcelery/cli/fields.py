"""``--fields``, and outputs with a record for each of many things: a JSON list, or a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from simcelery.cli.output import Column, note, show_json_line, show_json_list, show_table
from simcelery.describe.job import text_of
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.conditions.values import Name

F = TypeVar("F", bound=Callable[..., Any])
LinesOutput = Literal["table", "json", "jsonl", "quiet"]


def fields_option(function: F) -> F:
    """``--fields``."""
    return click.option(
        "--fields", metavar="NAMES", help="Only these fields, such as id,fmax,energy,stress.0."
    )(function)


def lines_option(function: F) -> F:
    """``-o/--output``, with JSON lines."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "jsonl", "quiet"]),
        default="table",
        help="Print a table (default), JSON, a line of JSON for each, or only ids.",
    )(function)


def chosen_fields(text: str | None) -> tuple[Name, ...] | None:
    """The names that ``--fields`` gives; None: it is not given.

    Raises:
        UsageError: it is no list of names.
    """
    if text is None:
        return None
    from simcelery.conditions import reading

    try:
        return reading.fields(text)
    except ValueError as error:
        raise UsageError(f"--fields: {error}") from None


def picked(record: dict[str, Any], names: Sequence[Name]) -> dict[str, Any]:
    """These fields of a record that was read as a whole.

    Raises:
        UsageError: such records have none of that name.
    """
    from simcelery.conditions.picking import pick

    for name in names:
        if name.parts[0] not in record and "parameters" not in record:
            raise UsageError(f"--fields: there is no {name.text!r} here, but {', '.join(record)}")
    return {name.text: pick(record, name) for name in names}


def doubted(names: Sequence[Name], records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records; names that are no columns, and of which none has a value, are said on stderr."""
    from simcelery.tables.doubts import is_of_all

    missing, empty = {name.text for name in names if not is_of_all(name)}, True
    for record in records:
        empty = False
        missing -= {name for name in missing if record[name] is not None}
        yield record
    if missing and not empty:
        note(f"--fields: none of these jobs has a value for {', '.join(sorted(missing))}")


def show_fields(names: Sequence[Name], records: Iterable[dict[str, Any]], output: str) -> None:
    """Print some fields of many things."""
    if output != "table":
        show_records(records, output)
        return
    columns = [Column(name.text, right=name.parts == ("id",), wrapped=True) for name in names]
    show_table(columns, [[_text(record[name.text]) for name in names] for record in records])


def _text(value: Any) -> str:
    return "" if value is None else text_of(value, None)


def show_records(records: Iterable[dict[str, Any]], output: str) -> None:
    """Print records as a JSON list, or line by line as they come."""
    if output == "json":
        show_json_list(records)
    else:
        for record in records:
            show_json_line(record)
