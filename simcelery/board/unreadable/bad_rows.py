"""Rows that cannot be read completely are shown as far as possible, or left out, and named once."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from simcelery.board.states import State
from simcelery.board.unreadable.loading import UNREADABLE, unreadable

log = logging.getLogger(__name__)

_NAMED = 3  # rows that one line names
_MOST = 10_000  # rows of which is remembered that they were named
_named: set[str] = set()


def name(found: Mapping[str, str]) -> None:
    """One line about rows that could not be read, or not in full, unless all of them were named before.

    Parameters:
        found: which row → what is wrong with it.
    """
    fresh = [which for which in found if which not in _named]
    if not fresh:
        return
    if len(_named) < _MOST:
        _named.update(fresh)
    lines = [f"{which}: {found[which]}" for which in fresh[:_NAMED]]
    more = f"; and {len(fresh) - _NAMED:,} more" if len(fresh) > _NAMED else ""
    log.warning("some of the board cannot be read: %s%s", "; ".join(lines), more)


def state(value: str) -> State | None:
    """A state by its name; None: there is none of that name."""
    try:
        return State(value)
    except ValueError:
        return None


def named_values(value: Any) -> dict[str, Any]:
    """A JSON object, or one that stands for what is none."""
    return value if isinstance(value, dict) else unreadable("no JSON object", value)


def moment(text: Any) -> dt.datetime | None:
    """A time that Postgres wrote into JSON; None if it is not a time."""
    try:
        found = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def words(value: Sequence[Any] | None) -> list[str]:
    """An array of text, without what is none."""
    return [one for one in value or () if isinstance(one, str)]


def trouble(value: Any) -> str | None:
    """What is wrong with a JSON value; None: nothing at its top."""
    return str(value[UNREADABLE]) if isinstance(value, dict) and UNREADABLE in value else None
