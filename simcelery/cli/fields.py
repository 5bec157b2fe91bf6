"""``--fields``, and outputs with a record for each of many things: a JSON list, or a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simcelery.cli.output import show_json_line, show_json_list
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.conditions.values import Name

F = TypeVar("F", bound=Callable[..., Any])


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


def show_records(records: Iterable[dict[str, Any]], output: str) -> None:
    """Print records as a JSON list, or line by line as they come."""
    if output == "json":
        show_json_list(records)
    else:
        for record in records:
            show_json_line(record)
