"""The forms of values for which JSON has none, and which no annotation brings back.

They are written only where the plain form would come back as something else: a tuple that is declared as one
is a list on the board, and one that is declared as ``Any`` is ``{"$tuple": [1, 2]}``.
"""

from __future__ import annotations

import base64
import collections
import datetime as dt
import decimal
import json
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simcelery.workflows.paths import absolute

# What a defaultdict may be made with, by name: nothing else is ever called on the say of the board.
_FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (list, dict, set, int, float, str, tuple)}

_SEQUENCES: dict[str, Any] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
_TEXTS: dict[str, Callable[[str], Any]] = {
    "$bytearray": lambda text: bytearray(base64.b64decode(text)),
    "$date": dt.date.fromisoformat,
    "$decimal": decimal.Decimal,
    "$uuid": uuid.UUID,
    "$path": Path,
}
TAGS = frozenset(
    (*_SEQUENCES, *_TEXTS, "$deque", "$range", "$timedelta", "$datetime", "$time", "$ordered", "$counter")
) | {"$defaultdict"}


def tagged(value: Any, inner: Callable[[Any], Any]) -> dict[str, Any] | None:
    """The exact form of a value, or None where it has none but the plain one.

    Parameters:
        inner: gives the form of a part.
    """
    kind = type(value)
    for tag, sequence in _SEQUENCES.items():
        if kind is sequence:
            items = [inner(item) for item in value]
            return {tag: items if kind is tuple else sorted(items, key=json.dumps)}
    if kind is collections.deque:
        return {"$deque": [inner(item) for item in value], "maxlen": value.maxlen}
    if kind is range:
        return {"$range": [value.start, value.stop, value.step]}
    if kind is bytearray:
        return {"$bytearray": base64.b64encode(value).decode()}
    if kind is decimal.Decimal or kind is uuid.UUID:
        return {f"${kind.__name__.lower()}": str(value)}
    if kind is type(Path()):
        return {"$path": absolute(str(value))}
    return _moment(value) or _dictionary(value, inner)


def untagged(stored: dict[str, Any], inner: Callable[[Any], Any]) -> Any:
    """The value of such a form.

    Raises:
        Exception: of any kind, where nobody here has written it.
    """
    [tag] = TAGS & stored.keys()
    form = stored[tag]
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](inner(item) for item in form)
    if tag in _TEXTS:
        return _TEXTS[tag](form)
    match tag:
        case "$deque":
            return collections.deque(map(inner, form), stored["maxlen"])
        case "$range":
            return range(*form)
        case "$timedelta":
            return dt.timedelta(*form)
        case "$datetime" | "$time":
            read = dt.datetime if tag == "$datetime" else dt.time
            return _placed(read.fromisoformat(form), stored)
        case "$ordered" | "$counter" | "$defaultdict":
            pairs = [(inner(key), inner(item)) for key, item in form]
            if tag == "$defaultdict":
                return collections.defaultdict(_FACTORIES.get(stored["of"]), pairs)
            return collections.OrderedDict(pairs) if tag == "$ordered" else collections.Counter(dict(pairs))
    raise KeyError(tag)


def _moment(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    if kind is dt.date:
        return {"$date": value.isoformat()}
    if kind is dt.timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if kind is not dt.datetime and kind is not dt.time:
        return None
    zone = value.tzinfo.key if isinstance(value.tzinfo, zoneinfo.ZoneInfo) else None
    plain = value.replace(tzinfo=None) if zone else value
    return {f"${kind.__name__}": plain.isoformat(), "zone": zone, "fold": value.fold}


def _placed(value: Any, stored: dict[str, Any]) -> Any:
    zone = stored["zone"]
    return value.replace(tzinfo=zoneinfo.ZoneInfo(zone) if zone else value.tzinfo, fold=stored["fold"])


def _dictionary(value: Any, inner: Callable[[Any], Any]) -> dict[str, Any] | None:
    kind = type(value)
    if kind not in (collections.OrderedDict, collections.Counter, collections.defaultdict):
        return None
    pairs = [[inner(key), inner(item)] for key, item in value.items()]
    if kind is not collections.OrderedDict:
        pairs.sort(key=json.dumps)
    if kind is not collections.defaultdict:
        return {"$ordered" if kind is collections.OrderedDict else "$counter": pairs}
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES.values():
        return None
    return {"$defaultdict": pairs, "of": factory.__name__ if factory else None}
