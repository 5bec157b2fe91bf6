"""Whether a condition matched nothing, or a column is empty, because a name is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from simcelery.board import engine, reads
from simcelery.board.reads.fields import COLUMNS
from simcelery.board.reads.jobs import Filter
from simcelery.conditions.values import All, Any, Comparison, Condition, In, IsNull, Name, Not
from simcelery.tables.gathering import Column
from simcelery.tables.reading import of_fields

_LOOKED_AT, _NAMES_OF = 1000, 50


def empty(names: Sequence[Name], columns: Sequence[Column]) -> list[str]:
    """The titles of the columns of these fields that are no columns of the board and have no value at all."""
    of_all = {name.text for name in names if is_of_all(name)}
    return [one.title for one in columns if not one.kind.tells and one.name not in of_all]


def said(which: Filter) -> str:
    """One line about the names in a filter's condition of which no job has a value; "": there are none."""
    unknown = unknown_names(which)
    if not unknown:
        return ""
    close = meant(which, unknown[0]) if len(unknown) == 1 else None
    hint = f"; did you mean {close}?" if close else ""
    return f"no job looked at has a value for {', '.join(unknown)}{hint}"


def unknown_names(which: Filter) -> list[str]:
    """The names in a filter's condition of which the newest of its jobs, in whatever state, have no value."""
    if which.where is None:
        return []
    names = list({name.text: name for name in _names(which.where) if not is_of_all(name)}.values())
    if not names:
        return []
    ids = sorted(which.ids or ()) or None  # none: they are those that the condition chose
    others = replace(which, where=None, states=(), ids=ids)
    missing, found = {name.text for name in names}, False
    for row in of_fields(others, names, limit=_LOOKED_AT, newest=True):
        found = True
        missing -= {text for text, value in row.cells.items() if value is not None}
    return [name.text for name in names if name.text in missing] if found else []


def meant(which: Filter, name: str) -> str | None:
    """A parameter or a field of results of the newest of these jobs whose name is much like this one."""
    with engine.begin() as connection:
        rows = reads.jobs(connection, replace(which, where=None, states=()), limit=_NAMES_OF)
    given = (one for row in rows for one in (row.parameters, row.result) if isinstance(one, dict))
    names = {key.lower(): key for one in given for key in one if isinstance(key, str)}
    close = difflib.get_close_matches(name.lower(), names, 1)
    return names[close[0]] if close else None


def is_of_all(name: Name) -> bool:
    """Whether it is a column, which may well be null in all jobs."""
    column = COLUMNS.get(name.parts[0])
    return column is not None and (column.kind != "value" or len(name.parts) == 1)


def _names(condition: Condition) -> Iterator[Name]:
    match condition:
        case Comparison(left, _, right):
            yield from (side for side in (left, right) if isinstance(side, Name))
        case In(name) | IsNull(name):
            yield name
        case Not(inner):
            yield from _names(inner)
        case All(parts) | Any(parts):
            for part in parts:
                yield from _names(part)
