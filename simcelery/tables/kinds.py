"""What the values of a column have in common: their kind, the narrowest that holds all of them unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from simcelery.readable import json_text

_EXACT = 2**53  # up to here a float holds every whole number
_INT64 = 2**63


@dataclass(frozen=True)
class Kind:
    """One kind of values.

    Attributes:
        name: ``nothing`` (only null), ``boolean``, ``integer`` (one that a float could hold), ``int64``,
            ``large`` (a whole number beyond 64 bits), ``number``, ``huge`` (numbers, of which no float could
            hold some whole ones), ``text``, ``time``, ``list``, ``object``, or ``mixed``.
        of: of the items of a list.
    """

    name: str
    of: Kind | None = None

    @property
    def is_text(self) -> bool:
        """Whether such values are written as text where a column has one type."""
        return self.name in ("text", "object", "mixed", "large", "huge") or (
            self.of is not None and self.of.is_text
        )

    @property
    def tells(self) -> bool:
        """Whether it says anything of its values, other than that they are all null."""
        return self.name != "nothing"

    @property
    def surprises(self) -> str:
        """Why its values are written as text, where nobody would expect that; "" otherwise."""
        if self == LARGE:
            return "whole numbers of more than 64 bits"
        if self == HUGE:
            return "numbers, some of them whole and of more than 53 bits"
        if self == MIXED:
            return "values of different kinds, such as numbers beside text"
        return self.of.surprises if self.of is not None else ""

    @property
    def is_numeric(self) -> bool:
        """Whether all its values are numbers."""
        return self in (*_WHOLE, NUMBER, HUGE)

    @property
    def is_scalar(self) -> bool:
        """Whether there are neither lists nor objects among them."""
        return self.name not in ("list", "object")


NOTHING = Kind("nothing")
BOOLEAN, INTEGER, INT64, LARGE, NUMBER = map(Kind, ("boolean", "integer", "int64", "large", "number"))
TEXT, TIME, OBJECT, MIXED, HUGE = map(Kind, ("text", "time", "object", "mixed", "huge"))
_WHOLE = (INTEGER, INT64, LARGE)  # each holds those before it


def kind_of(value: Any) -> Kind:
    """The kind of a plain JSON value."""
    match value:
        case None:
            return NOTHING
        case bool():
            return BOOLEAN
        case int():
            return INTEGER if abs(value) <= _EXACT else INT64 if -_INT64 <= value < _INT64 else LARGE
        case float():
            return NUMBER
        case str():
            return TEXT
        case list():
            of = NOTHING
            for item in value:
                of = united(of, kind_of(item))
            return Kind("list", of)
    return OBJECT


def united(one: Kind, other: Kind) -> Kind:
    """The kind of a column that holds values of both."""
    if one is other or one == other or other == NOTHING:
        return one
    if one == NOTHING:
        return other
    if one in _WHOLE and other in _WHOLE:
        return max(one, other, key=_WHOLE.index)
    if {one, other} == {INTEGER, NUMBER}:
        return NUMBER
    if {one, other} <= {*_WHOLE, NUMBER, HUGE}:
        return HUGE
    if one.of is not None and other.of is not None:
        return Kind("list", united(one.of, other.of))
    return MIXED


def settled(declared: Kind, seen: Kind) -> Kind:
    """The kind of a column: what was declared, unless values say otherwise."""
    both = united(declared, seen)
    return seen if _mixes(both) else both


def _mixes(kind: Kind) -> bool:
    return kind in (MIXED, HUGE) or (kind.of is not None and _mixes(kind.of))


def as_text(value: Any) -> str | None:
    """A value in a column of text: text as it is, everything else as JSON."""
    return value if value is None or isinstance(value, str) else json_text(value)


def within(value: Any, kind: Kind) -> Any:
    """A plain value as one of a column of this kind.

    A list of a kind that is text is text as a whole, so that its items can be told apart.
    """
    if value is None:
        return None
    if kind.is_text:
        return as_text(value)
    if kind == NUMBER:
        return float(value)
    if kind.of is not None and not isinstance(value, str):
        return [within(item, kind.of) for item in value]
    return value


def key(value: Any) -> str:
    """The same text for the same value."""
    return json.dumps(value, sort_keys=True)
