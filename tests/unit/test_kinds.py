"""What the values of a column have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcelery.tables.declared import UNKNOWN, Declared
from simcelery.tables.kinds import (
    BOOLEAN,
    HUGE,
    INT64,
    INTEGER,
    LARGE,
    MIXED,
    NOTHING,
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    kind_of,
    settled,
    united,
    within,
)
from simcelery.workflows.parameters import Parameters

# A machine that has much else to do is no failure.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of(*values: Any) -> Kind:
    found = NOTHING
    for value in values:
        found = united(found, kind_of(value))
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], NOTHING),
        ([None], NOTHING),
        ([None, True], BOOLEAN),
        ([1, None, -5], INTEGER),
        ([1, 1.5], NUMBER),
        ([1.5, 1, None], NUMBER),
        ([1, math.nan], NUMBER),
        ([2**53, 0.5], NUMBER),
        ([2**53 + 1, 1], INT64),
        ([2**53 + 1, 0.5], HUGE),
        ([-(2**63), 2**63 - 1], INT64),
        ([2**63, 1], LARGE),
        ([2**63, 0.5], HUGE),
        ([2**53 + 1, 0.5, 1], HUGE),
        ([2**63, 0.5, "a"], MIXED),
        ([1, "1"], MIXED),
        ([1, True], MIXED),
        (["a", ""], TEXT),
        ([{"a": 1}, {"b": "c"}], OBJECT),
        ([{}, "a"], MIXED),
        ([[1], [1.5], [None], []], Kind("list", NUMBER)),
        ([[[1]], [[2.5]]], Kind("list", Kind("list", NUMBER))),
        ([[1], ["a"]], Kind("list", MIXED)),
        ([[1], 1], MIXED),
    ],
)
def test_the_kind_of_a_column_holds_all_its_values(values: list[Any], expected: Kind) -> None:
    assert of(*values) == of(*reversed(values)) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@_UNHURRIED
@given(st.lists(json_values, max_size=5))
def test_no_value_is_changed_by_its_column(values: list[Any]) -> None:
    kind = of(*values)
    for value in values:
        kept = within(value, kind)
        assert (kept is None) == (value is None)
        if kind.is_text:
            assert kept is None or isinstance(kept, str)
        else:
            assert repr(kept) == repr(value) or kept == value


def test_what_is_declared_holds_unless_values_say_otherwise() -> None:
    assert settled(NUMBER, INTEGER) == NUMBER
    assert settled(NUMBER, NOTHING) == NUMBER
    assert settled(NUMBER, TEXT) == TEXT
    assert settled(NOTHING, TEXT) == TEXT
    assert settled(Kind("list", NUMBER), Kind("list", INTEGER)) == Kind("list", NUMBER)
    assert settled(Kind("list", NUMBER), Kind("list", TEXT)) == Kind("list", TEXT)
    assert settled(NUMBER, INT64) == INT64


@dataclass
class Cell:
    lengths: list[float]


@dataclass
class Point:
    energy: float
    label: str | None
    cell: Cell
    converged: bool = True


def relax(structure: str, fmax: float = 0.05, steps: int | None = None, kpts: list[int] = []) -> Point:  # noqa: B006
    raise NotImplementedError


def test_schemas_say_what_signatures_do() -> None:
    parameters = Parameters("relax", relax)
    told = Declared(parameters.json_schema(), parameters.returns_schema())
    assert told.parameters == ["structure", "fmax", "steps", "kpts"]
    assert {name: told.kind((name,)) for name in told.parameters} == {
        "structure": TEXT,
        "fmax": NUMBER,
        "steps": INTEGER,
        "kpts": Kind("list", INTEGER),
    }
    assert told.kind(("parameters", "kpts", "0")) == INTEGER
    assert told.results == ["energy", "label", "cell", "converged"]
    assert told.kind(("energy",)) == told.kind(("result", "energy")) == NUMBER
    assert told.kind(("cell", "lengths", "1")) == NUMBER
    assert told.kind(("label",)) == TEXT
    assert told.kind(("result",)) == OBJECT
    assert told.kind(("nowhere",)) == told.kind(("result", "nowhere", "x")) == NOTHING
    assert UNKNOWN.kind(("x",)) == NOTHING
    assert Declared({"properties": 5, "$defs": []}, {"$ref": "#/$defs/X"}).kind(("x", "y")) == NOTHING
