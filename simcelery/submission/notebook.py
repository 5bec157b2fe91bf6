"""How handles show themselves in notebooks: small tables without scripts, in which everything is escaped.

An object must show itself whatever the board does: the board is asked briefly, and what it does not answer at
once is left out.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from simcelery.board import engine
from simcelery.board.reads.jobs import JobRow
from simcelery.readable import json_text, line

T = TypeVar("T")
SILENT = "the board does not answer"
ROWS = 10  # of a table
_LONGEST_WAIT = 2.0  # seconds
_LONGEST = 100  # characters in a cell


def look(ask: Callable[[Any], T]) -> T | None:
    """What the board says to a question, or None: it does not, or not at once."""
    said: list[T] = []

    def asking() -> None:
        with suppress(Exception), engine.begin() as connection:
            engine.limit(connection, _LONGEST_WAIT / 2)
            said.append(ask(connection))

    # A server that is stopped answers nothing, not even that the time is up.
    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    thread.join(_LONGEST_WAIT)
    return said[0] if said else None


def facts(title: object, pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values below each other; those without a value are left out."""
    return table(title, (), [pair for pair in pairs if pair[1] not in (None, "", [], {})])


def table(title: object, headings: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """A table below its title, and a note below it."""
    head = "".join(f"<th>{cell(name)}</th>" for name in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    rest = f"<table>{head}<tbody>{body}</tbody></table>" if body else ""
    return f"<div><b>{cell(title)}</b>{rest}{f'<div>{cell(note)}</div>' if note else ''}</div>"


def cell(value: object) -> str:
    """A value as a line of text that is no HTML."""
    return html.escape(brief(value))


def brief(value: object) -> str:
    """A value as a short line of text."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        try:
            value = json_text(value)
        except (RecursionError, TypeError, ValueError):
            value = "(too complex to show here)"
    text = line(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def job_facts(row: JobRow) -> list[tuple[str, object]]:
    """What there is to say of a job."""
    times = [
        (name, getattr(row, f"{name}_at") and f"{getattr(row, f'{name}_at').astimezone():%Y-%m-%d %H:%M:%S}")
        for name in ("submitted", "started", "finished")
    ]
    return [
        ("workflow", row.workflow),
        ("state", row.state),
        ("tags", ", ".join(row.tags)),
        *((f"parameters.{name}", value) for name, value in islice(row.parameters.items(), ROWS)),
        *times,
        ("worker", row.worker),
        ("result or error", result_or_error(row)),
    ]


def result_or_error(row: JobRow) -> object:
    """Its error, its result, or how far it is."""
    if row.error:
        return row.error
    return row.progress if row.result is None and row.state == "running" else row.result


def job_table(title: str, rows: Sequence[JobRow], note: str = "") -> str:
    """A line for each job."""
    cells = [(row.id, row.workflow, row.state, row.parameters, result_or_error(row)) for row in rows]
    return table(title, ("id", "workflow", "state", "parameters", "result or error"), cells, note)
