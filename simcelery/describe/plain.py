"""Convert values to plain JSON: those of the board's rows, and those stored with a ``$`` tag."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import Any

# As repr writes a float.
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
# Tags whose value is plain JSON already.
_SAID_BY_ONE = {
    f"${name}" for name in ("tuple", "set", "frozenset", "deque", "range", "bytearray", "path")
} | {
    *("$date", "$datetime", "$time", "$decimal", "$uuid"),
}


def jsonable(value: Any) -> Any:
    """Times as ISO 8601 in UTC, ids as text; containers likewise."""
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat()
        case uuid.UUID():
            return str(value)
        case str():
            return str(value)  # a State is a str of its own class
        case dict():
            return {str(name): jsonable(item) for name, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
    return value


def plain(stored: Any) -> Any:
    """A stored value without its ``$`` tags, as far as JSON has an equivalent.

    NaN becomes the literal ``NaN``, an array nested lists, a complex number ``[re, im]``, bytes base64 text.
    Needs no numpy. A tagged value that cannot be read stays as stored.
    """
    if isinstance(stored, list):
        return [plain(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    match stored:
        case {"$float": str(text)} if text in ("nan", "inf", "-inf") or _NUMBER.fullmatch(text):
            return float(text)
        case {"$complex": [real, imag]}:
            return [plain(real), plain(imag)]
        case {"$bytes": str(text)}:
            return text
        case {"$ndarray": items}:
            return plain(items)
        case (
            {"$dict": [*pairs]} | {"$ordered": [*pairs]} | {"$counter": [*pairs]} | {"$defaultdict": [*pairs]}
        ) if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return {_key(plain(key)): plain(item) for key, item in pairs}
        case {"$timedelta": [int(days), int(seconds), int(microseconds)]} if abs(days) < 10**9:
            return days * 86400 + seconds + microseconds / 1_000_000
    for tag in _SAID_BY_ONE & stored.keys():
        return plain(stored[tag])
    return {name: plain(item) for name, item in stored.items()}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)
