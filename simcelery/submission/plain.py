"""Parameters that are what they should be already: exact numbers and plain text need no validation.

Most sweeps are over such values. They are recorded just as the long way records them, ten times as fast;
whatever is not certain takes the long way, which also finds the words for what is wrong.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any

from simcelery.workflows.definition import Definition

_SCALARS: frozenset[Any] = frozenset({int, float, str, bool, NoneType})
_ABSENT = object()


def encoded(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the board stores for these parameters, or None where that takes the long way."""
    found: dict[str, Any] = {}
    used = 0
    for name, kinds, to_float, default in _fields(definition):
        value = given.get(name, _ABSENT)
        if value is _ABSENT:
            if default is _ABSENT:
                return None
            found[name] = default
            continue
        used += 1
        if to_float and type(value) is int and -(2**53) < value < 2**53:
            value = float(value)
        if type(value) not in kinds or not _certain(value):
            return None
        found[name] = value
    return found if used == len(given) else None


@lru_cache(maxsize=1000)
def _fields(definition: Definition) -> list[tuple[str, frozenset[Any], bool, Any]]:
    """For each parameter its name, the types it takes as they are, whether int becomes float, the default."""
    hints = typing.get_type_hints(definition.function, include_extras=True)
    fields = []
    for name, parameter in definition.parameters.signature.parameters.items():
        kinds = _kinds(hints[name])
        default = parameter.default
        if default is parameter.empty or not _certain(default) or type(default) not in (kinds | {NoneType}):
            default = _ABSENT
        fields.append((name, kinds, hints[name] is float, default))
    return fields


def _kinds(annotation: Any) -> frozenset[Any]:
    """The types whose values this annotation takes unchanged."""
    if annotation is Any:
        return _SCALARS
    union = typing.get_origin(annotation) in (typing.Union, UnionType)
    kinds = frozenset(typing.get_args(annotation) if union else (annotation,))
    return kinds if kinds <= _SCALARS else frozenset()


def _certain(value: Any) -> bool:
    """Whether a value is stored as it is, without any further look."""
    kind = type(value)
    if kind is int:
        return -(2**63) < value < 2**63  # type: ignore[no-any-return]
    if kind is float:
        return -1e15 < value < 1e15 and (value != 0 or str(value)[0] != "-")
    if kind is str:
        return value.isascii() and "\0" not in value
    return kind is bool or value is None
