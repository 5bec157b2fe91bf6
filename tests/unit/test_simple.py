"""Annotations of plain data: what is known of them without asking is what pydantic would say."""

# ruff: noqa: UP006, UP035  (people write List)

from __future__ import annotations

import collections
import enum
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, Optional, Union

import pytest
from pydantic import BaseModel, Field

from simcelery.errors import DefinitionError, ParametersError
from simcelery.workflows import models
from simcelery.workflows.parameters import Parameters
from simcelery.workflows.restoring import restorable
from simcelery.workflows.simple import is_simple
from simcelery.workflows.storable import unstorable
from tests.unit.names import stable

PLAIN: list[Any] = [Any, bool, int, float, complex, str, bytes, None, Path, list, dict, tuple, set, frozenset]
PLAIN += [Literal["a", 1, True, None], tuple[()]]


def of(generic: Any, *within: Any) -> Any:
    """``generic[within]``, where it is only known when it runs what that is."""
    return generic[within if len(within) > 1 else within[0]]


WITHIN: list[Callable[[Any], Any]] = [
    *(partial(of, generic) for generic in (list, List, set, frozenset, Optional)),
    *(partial(of, dict, str), partial(of, tuple, str), partial(of, Union, str, float)),
    *(lambda one: of(Dict, one, int), lambda one: of(tuple, one, ...)),
]
SIMPLE = [*PLAIN, *(make(one) for make, one in product(WITHIN, PLAIN))]
SIMPLE += [make(other(one)) for make, other, one in product(WITHIN[::4], WITHIN, (int, Any))]


class Phase(enum.Enum):
    FCC = "fcc"


class Number(int): ...


Positive = Annotated[int, Field(gt=0)]


def taking(annotation: Any, returns: Any = None, default: Any = ...) -> Parameters:
    """The parameters of a workflow called w, which takes x."""

    def w(x): ...  # type: ignore[no-untyped-def]

    w.__annotations__ = {"x": annotation, "return": returns}
    w.__defaults__ = None if default is ... else (default,)
    return Parameters("w", w)


@pytest.mark.parametrize("annotation", SIMPLE, ids=stable)
def test_what_is_simple_is_what_pydantic_takes_and_describes(annotation: Any) -> None:
    assert is_simple(annotation)
    assert unstorable(annotation) is None
    assert restorable(annotation) == annotation
    own = models.build("Own", {"value": (annotation, ...)})
    found = taking(annotation, returns=annotation)
    described = models.schema_of(own)["properties"]["value"]
    assert found.returns_schema() == {**described, "$defs": {}}
    del described["title"]
    assert found.json_schema()["properties"]["x"] == described


@pytest.mark.parametrize(
    "annotation",
    [
        *(object, Phase, Number, Literal[Phase.FCC], Literal[()], Annotated[int, Field(gt=0)], Sequence[int]),
        *(Mapping[str, int], list[Annotated[str, "a name"]], dict[str, Phase], collections.OrderedDict),
        *(list[int, str], tuple[int, str, ...], tuple[..., int], list[...], dict[str, ...], "int"),  # type: ignore[misc]
    ],
    ids=stable,
)
def test_whatever_else_is_left_to_pydantic(annotation: Any) -> None:
    assert not is_simple(annotation)


@pytest.mark.parametrize(
    "annotation",
    [Literal[()], tuple[int, str, ...], tuple[..., int], list[...], dict[str, ...]],  # type: ignore[misc]
    ids=stable,
)
def test_what_pydantic_refuses_is_refused_at_the_definition(annotation: Any) -> None:
    for given in ({"annotation": annotation}, {"annotation": int, "returns": annotation}):
        with pytest.raises(DefinitionError, match=r"^workflow w: an annotation cannot be used: "):
            taking(**given)


def test_a_definition_of_what_is_simple_makes_no_model() -> None:
    def made() -> int:
        return len(BaseModel.__subclasses__())

    gc.collect()  # those of other tests
    before = made()
    found = taking(dict[str, list[bytes | Path]], returns=set[complex | bytes])
    assert made() == before
    assert found.validate({"x": {"a": [b"1", Path("b")]}}) == {"x": {"a": [b"1", Path("b")]}}
    assert found.restore_result("no set") == "no set"
    assert made() == before + 2
    other = taking(int, returns=set[complex | bytes])
    assert other.restore_result("no set") == "no set"
    assert made() == before + 2


def test_types_of_a_union_keep_their_order() -> None:
    """Python takes them for equal; pydantic tries one after the other."""
    names = {"integer": int, "boolean": bool, "string": str}
    for first, second in product(names, names):
        if first != second:
            union = of(Union, names[first], names[second])
            found = taking(of(list, union), returns=union)
            listed = found.json_schema()["properties"]["x"]["items"]["anyOf"]
            assert [one["type"] for one in listed] == [first, second]
            returned = found.returns_schema()
            assert returned is not None
            assert [one["type"] for one in returned["anyOf"]] == [first, second]


@pytest.mark.parametrize(
    ("annotation", "default", "stored"),
    [
        *((float, 1, 1.0), (int, "x", "x"), (list[float], (1, 2), [1.0, 2.0]), (str, None, None)),
        *((Path, "a", "a"), (bool, "yes", True), (tuple[int, ...], [1.0], [1])),
    ],
    ids=stable,
)
def test_a_default_is_described_as_the_board_stores_it(annotation: Any, default: Any, stored: Any) -> None:
    found = taking(annotation, default=default).json_schema()["properties"]["x"]["default"]
    assert (found, type(found)) == (stored, type(stored))


def test_simple_parameters_beside_others_are_described_with_them() -> None:
    def w(a: int, b: Phase, c: float = 1, d: Phase = Phase.FCC, e: Positive = 0) -> None: ...

    found = Parameters("w", w).json_schema()
    assert found["required"] == ["a", "b"]
    assert list(found["$defs"]) == ["Phase"]
    assert found["properties"] == {
        "a": {"type": "integer"},
        "b": {"$ref": "#/$defs/Phase"},
        "c": {"type": "number", "default": 1.0},
        "d": {"$ref": "#/$defs/Phase", "default": "fcc"},
        "e": {"type": "integer", "exclusiveMinimum": 0, "default": 0},  # no submission could use it
    }


def test_a_value_that_does_not_fit_is_refused_as_ever() -> None:
    with pytest.raises(ParametersError, match=r"^w: parameter 'x'"):
        taking(dict[str, int]).validate({"x": {"a": "b"}})
