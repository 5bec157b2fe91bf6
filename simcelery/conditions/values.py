"""A condition and its parts, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Literal: TypeAlias = str | bool | Decimal
"""Text, true or false, or a number, which may be ``nan`` or ``inf``."""


@dataclass(frozen=True)
class Name:
    """The name of a field, such as ``stress.0``.

    Attributes:
        parts: ``("stress", "0")``: a number is an index of a list, or a key.
        text: as it was written.
    """

    parts: tuple[str, ...]
    text: str


Operand: TypeAlias = Name | Literal


@dataclass(frozen=True)
class Comparison:
    """``left operator right``; the operator is one of ``= != < <= > >=``, and one side is a name."""

    left: Operand
    operator: str
    right: Operand


@dataclass(frozen=True)
class In:
    """Whether a field has one of these values."""

    name: Name
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class IsNull:
    """Whether a field is null, or not there."""

    name: Name


@dataclass(frozen=True)
class Not:
    """The opposite."""

    inner: Condition


@dataclass(frozen=True)
class All:
    """All of these hold: ``and``."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Any:
    """One of these holds: ``or``."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | In | IsNull | Not | All | Any
