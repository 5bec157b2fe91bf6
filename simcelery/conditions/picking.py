"""Find a field in a record that is plain JSON already, as names mean it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcelery.conditions.values import Name


def pick(record: Mapping[str, Any], name: Name) -> Any:
    """What a name stands for in a record; None: there is nothing.

    A key of the record itself comes first, then a parameter, then a field of the result, if it has these.
    """
    head = name.parts[0]
    if head in record:
        return _within(record, name)
    for part in ("parameters", "result"):
        values = record.get(part)
        if isinstance(values, Mapping) and head in values:
            return _within(values, name)
    return None


def _within(value: Any, name: Name) -> Any:
    for part in name.parts:
        if isinstance(value, list) and part.isdecimal():
            value = value[int(part)] if len(part) < 10 and int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value
