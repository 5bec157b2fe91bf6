"""Turn what Postgres returns into Python values; a value that cannot be read does not affect the others.

JSON in Postgres may be nested deeper than Python can read, and its times reach from before the year 1 to
infinity. A value that Python does not have is replaced by another: a dictionary with the key `UNREADABLE`,
or the first or last moment that can be worked with.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import psycopg
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

UNREADABLE = "$unreadable"
# What is encoded from values 100 deep, the most that is recorded, is three times as deep.
_MAX_DEPTH = 320
# Postgres writes nothing behind a value, so nothing is looked for there: json.loads takes five times as long.
_DECODER = json.JSONDecoder()
_SHOWN = 60  # characters of what cannot be read
_FIRST = dt.datetime(2, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(9998, 1, 1, tzinfo=dt.UTC)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Have a connection read so."""
    set_json_loads(read_json, connection)
    connection.adapters.register_loader("timestamptz", _AnyTime)


def unreadable(what: str, value: Any) -> dict[str, str]:
    """What stands for a value that cannot be read."""
    text = value if isinstance(value, str) else json.dumps(value)
    return {UNREADABLE: f"{what}: {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"}


def read_json(raw: str | bytes) -> Any:
    """A JSON value."""
    text = raw if isinstance(raw, str) else bytes(raw).decode()
    # Most are short: no shorter text is as deep.
    if len(text) > _MAX_DEPTH < text.count("[") + text.count("{") and _depth(text) > _MAX_DEPTH:
        return unreadable(f"nested more than {_MAX_DEPTH} deep", text)
    try:
        return _DECODER.raw_decode(text.lstrip())[0]
    except (ValueError, RecursionError) as error:  # an integer may have too many digits
        return unreadable(str(error), text)


def _depth(text: str) -> int:
    """How deep JSON is nested."""
    deepest = depth = 0
    inside = escaped = False
    for char in text:
        if inside:
            inside = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


class _AnyTime(TimestamptzLoader):
    def load(self, data: Any) -> dt.datetime:
        try:
            return min(max(super().load(data), _FIRST), _LAST)
        except (psycopg.DataError, ValueError, OverflowError):
            raw = bytes(data)
            return _FIRST if raw.startswith(b"-") or raw.endswith(b"BC") else _LAST
