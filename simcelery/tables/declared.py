"""What workflows declare of their parameters and results: kinds, from the schemas on the board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from simcelery.board import catalogue, engine
from simcelery.tables.kinds import (
    BOOLEAN,
    HUGE,
    INTEGER,
    MIXED,
    NOTHING,
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    kind_of,
    united,
)

_SIMPLE = {"boolean": BOOLEAN, "integer": INTEGER, "number": NUMBER, "string": TEXT, "object": OBJECT}
_DEEPEST = 20  # a class may hold itself


class Declared:
    """What one workflow declares.

    Parameters:
        parameters: JSON schema of its parameters.
        returns: that of its result; None: unknown.
    """

    def __init__(self, parameters: dict[str, Any], returns: dict[str, Any] | None) -> None:
        self._parameters = parameters
        self._returns = returns or {}

    @property
    def parameters(self) -> list[str]:
        """Their names, in order."""
        return _names(self._parameters)

    @property
    def results(self) -> list[str]:
        """The names of the fields of its result, in order."""
        return _names(_resolved(self._returns, self._returns, 0))

    def kind(self, parts: Sequence[str]) -> Kind:
        """The kind of a field; nothing: it is not declared."""
        head, *rest = parts
        if head == "parameters":
            return _at(self._parameters, rest)
        if head == "result":
            return _at(self._returns, rest)
        return _at(self._parameters if head in self.parameters else self._returns, parts)


UNKNOWN = Declared({}, None)


def by_workflow() -> dict[str, Declared]:
    """What the workflows of the board declare."""
    with engine.begin() as connection:
        return {one.name: Declared(one.parameters, one.returns) for one in catalogue.read(connection)}


def _names(schema: dict[str, Any]) -> list[str]:
    found = schema.get("properties")
    return list(found) if isinstance(found, dict) else []


def _resolved(node: Any, whole: dict[str, Any], depth: int) -> dict[str, Any]:
    """A node without references, as far as it has any."""
    reference = node.get("$ref") if isinstance(node, dict) else None
    if not isinstance(reference, str) or depth > _DEEPEST:
        return node if isinstance(node, dict) else {}
    found = whole.get("$defs")
    return _resolved(
        found.get(reference.rpartition("/")[2]) if isinstance(found, dict) else None, whole, depth + 1
    )


def _at(whole: dict[str, Any], path: Sequence[str]) -> Kind:
    node: dict[str, Any] = whole
    for part in path:
        node = _resolved(node, whole, 0)
        properties, items = node.get("properties"), node.get("items")
        inner = properties.get(part) if isinstance(properties, dict) else None
        if inner is None and part.isdigit():
            inner = items
        if not isinstance(inner, dict):
            return NOTHING
        node = inner
    return _kind(node, whole, 0)


def _kind(node: Any, whole: dict[str, Any], depth: int) -> Kind:
    node = _resolved(node, whole, depth)
    if depth > _DEEPEST:
        return NOTHING
    if isinstance(node.get("anyOf"), list):
        return _all(_kind(one, whole, depth + 1) for one in node["anyOf"])
    if isinstance(node.get("enum"), list):
        return _all(map(kind_of, node["enum"]))
    kind = node.get("type")
    if kind == "array":
        return Kind("list", _kind(node.get("items"), whole, depth + 1))
    return _SIMPLE.get(kind, NOTHING) if isinstance(kind, str) else NOTHING


def _all(kinds: Iterable[Kind]) -> Kind:
    found = NOTHING
    for kind in kinds:
        found = united(found, kind)
    # One of several: what is seen decides.
    return NOTHING if found in (MIXED, HUGE) else found
