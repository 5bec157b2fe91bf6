"""What is wrong with a parameter, in words that a reader who does not know pydantic understands."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
import pytest
from annotated_types import Len, MultipleOf, Predicate
from numpy.typing import NDArray
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    FilePath,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    PastDate,
    StringConstraints,
    condecimal,
)
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema
from pydantic_core._pydantic_core import list_all_errors

from simcelery.errors import ParametersError
from simcelery.workflows.parameters import Parameters


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Cell:
    size: float
    atoms: list[int]


class Strict(BaseModel, extra="forbid"):
    a: float
    b: list[int] = []


class Cube(BaseModel):
    kind: Literal["cube"]
    edge: float


class Ball(BaseModel):
    kind: Literal["ball"]
    radius: float


class Pair(NamedTuple):
    one: int
    other: int


def refuse_silently(value: Any) -> Any:
    raise ValueError


def refuse(value: Any) -> Any:
    raise ValueError(f"{value!r} is odd")


def refused(annotation: Any, given: Any) -> str:
    def w(x: Any) -> None: ...

    w.__annotations__["x"] = annotation
    known = Parameters("w", w)
    with pytest.raises(ParametersError) as caught:
        known.validate({"x": given})
    return str(caught.value).removeprefix("w: parameter ")


@pytest.mark.parametrize(
    ("annotation", "given", "words"),
    [
        (int, "many", "'x': 'many' is not an integer"),
        (int, 1.5, "'x': 1.5 is not an integer"),
        (int, None, "'x': None is not an integer"),
        (int, float("inf"), "'x': inf is not a finite number"),
        (int, "1" * 5000, f"'x': '{'1' * 56}... has too many digits for an integer"),
        (float, "fast", "'x': 'fast' is not a number"),
        (float, 10**400, f"'x': 1{'0' * 56}... is too large for a number of double precision"),
        (float | None, "fast", "'x': 'fast' is not a number"),
        (complex, "z", "'x': 'z' is not a complex number"),
        (bool, "perhaps", "'x': 'perhaps' is not a boolean"),
        (str, 5, "'x': 5 is not a string"),
        (bytes, 5, "'x': 5 is not bytes"),
        (Path, 5, "'x': 5 is not a path"),
        (list[int], 5, "'x': 5 is not a list"),
        (tuple[int, ...], 5, "'x': 5 is not a tuple"),
        (set[int], 5, "'x': 5 is not a set"),
        (dict[str, int], 5, "'x': 5 is not a dictionary"),
        (uuid.UUID, "u", "'x': 'u' is not a UUID (invalid character: found `u` at 0)"),
        (decimal.Decimal, "d", "'x': 'd' is not a decimal number"),
        (HttpUrl, "u", "'x': 'u' is not a URL (relative URL without a base)"),
        (HttpUrl, "ftp://h", "'x': 'ftp://h' does not begin with 'http' or 'https'"),
        (IPvAnyAddress, "h", "'x': 'h' is not a valid IPv4 or IPv6 address"),
        (FilePath, "/none", "'x': '/none' is not the path of a file"),
        # Dates and times.
        (
            dt.date,
            "2020-13-01",
            "'x': '2020-13-01' is not a date (month value is outside expected range of 1-12)",
        ),
        (dt.date, "2020-01-01T10:00", "'x': '2020-01-01T10:00' is not a date, since it has a time of day"),
        (dt.datetime, "noon", "'x': 'noon' is not a date and time (input is too short)"),
        (
            dt.time,
            "25:00",
            "'x': '25:00' is not a time of day (hour value is outside expected range of 0-23)",
        ),
        (dt.timedelta, "long", "'x': 'long' is not a duration (invalid digit in duration)"),
        (AwareDatetime, "2020-01-01T10:00", "'x': '2020-01-01T10:00' has no time zone, and needs one"),
        (
            NaiveDatetime,
            "2020-01-01T10:00Z",
            "'x': '2020-01-01T10:00Z' has a time zone, and must not have one",
        ),
        (PastDate, "2999-01-01", "'x': '2999-01-01' is not in the past"),
        # Constraints.
        (Annotated[float, Field(gt=0)], -1, "'x': -1 is not greater than 0"),
        (Annotated[int, Field(ge=1)], 0, "'x': 0 is not at least 1"),
        (Annotated[float, Field(lt=0.5)], 0.5, "'x': 0.5 is not less than 0.5"),
        (Annotated[int, Field(le=5)], 7, "'x': 7 is not at most 5"),
        (Annotated[int, MultipleOf(4)], 5, "'x': 5 is not a multiple of 4"),
        (Annotated[float, Field(allow_inf_nan=False)], float("nan"), "'x': nan is not a finite number"),
        (Annotated[str, Field(max_length=2)], "abc", "'x': 'abc' is longer than 2 characters"),
        (Annotated[str, Field(min_length=1)], "", "'x': '' is shorter than 1 character"),
        (Annotated[bytes, Field(max_length=2)], b"abc", "'x': b'abc' is longer than 2 bytes"),
        (Annotated[str, StringConstraints(pattern="^a")], "b", "'x': 'b' does not match the pattern '^a'"),
        (Annotated[list[int], Len(2, 3)], [1], "'x': [1] has fewer than 2 items"),
        (Annotated[list[int], Len(0, 1)], [1, 2], "'x': [1, 2] has more than 1 item"),
        (Annotated[dict[str, int], Len(1)], {}, "'x': {} has fewer than 1 item"),
        (tuple[int, float], (1, 2, 3), "'x': (1, 2, 3) has more than 2 items"),
        (tuple[int, float], (1,), "'x'[1] is missing"),
        (condecimal(max_digits=3), "1234.5", "'x': '1234.5' has more than 3 digits"),
        (Annotated[int, Predicate(bool)], 0, "'x': 0 does not pass the check that is declared for it"),
        # Choices.
        (Literal["a", "b", "c"], "d", "'x': 'd' is not 'a', 'b' or 'c'"),
        (Colour, "green", "'x': 'green' is not 'red' or 'blue'"),
        # Parts.
        (list[float], [1.0, "a"], "'x'[1]: 'a' is not a number"),
        (list[float], np.array(["1", "a"]), "'x'[1]: 'a' is not a number"),
        (dict[str, int], {"k": "v"}, "'x'.k: 'v' is not an integer"),
        (dict[str, int], {"k v": "v"}, "'x'['k v']: 'v' is not an integer"),
        (dict[int, int], {"k": 1}, "'x': the key 'k' is not an integer"),
        (list[dict[int, int]], [{"k": 1}], "'x'[0]: the key 'k' is not an integer"),
        (set[int], {"a"}, "'x': 'a' is not an integer"),
        (Cell, {"size": 1.0}, "'x'.atoms is missing"),
        (Cell, {"size": 1.0, "atoms": [], "c": 1}, "'x'.c is not a field of its class; leave it out"),
        (Cell, Cell("wide", []), "'x'.size: 'wide' is not a number"),  # type: ignore[arg-type]
        (Cell, 5, "'x': 5 is neither a dictionary nor an instance of Cell"),
        (list[Cell], [{"size": 1, "atoms": [1, "many"]}], "'x'[0].atoms[1]: 'many' is not an integer"),
        (Strict, {"a": "wide"}, "'x'.a: 'wide' is not a number"),
        (Strict, {"a": 1, "c": 1}, "'x'.c is not a field of its class; leave it out"),
        (Strict, {"a": 1, 2: 1}, "'x': the key 2 is not a string"),
        (Strict, 5, "'x': 5 is neither a dictionary nor an instance of Strict"),
        (Pair, (1, "a"), "'x'[1]: 'a' is not an integer"),
        (Json[list[int]], "{", "'x': '{' is not valid JSON: EOF while parsing an object at line 1 column 1"),
        (Json[list[int]], '["a"]', "'x': 'a' is not an integer"),
        # Unions.
        (int | list[float], "abc", "'x': 'abc' is neither an integer nor a list"),
        (int | list[float], [1, "a"], "'x'[1]: 'a' is not a number"),
        (int | Literal["auto"], "all", "'x': 'all' is neither an integer nor 'auto'"),
        (float | int | bool | None, "a", "'x': 'a' is neither a number, an integer nor a boolean"),
        (NDArray[np.float64] | float, "a", "'x': 'a' is neither an instance of ndarray nor a number"),
        (list[int | list[int]], [[1, "a"]], "'x'[0][1]: 'a' is not an integer"),
        (dict[str, int | list[int]], {"k": "z"}, "'x'.k: 'z' is neither an integer nor a list"),
        (Strict | int, {"a": "wide"}, "'x'.a: 'wide' is not a number"),
        (Annotated[str, Field(max_length=2)] | int, "abc", "'x': 'abc' is longer than 2 characters"),
        (
            Annotated[Cube | Ball, Field(discriminator="kind")],
            {"kind": "rod"},
            "'x': {'kind': 'rod'} has 'rod' as its 'kind', and not one of 'cube', 'ball'",
        ),
        (
            Annotated[Cube | Ball, Field(discriminator="kind")],
            {"edge": 1},
            "'x': {'edge': 1} has no 'kind', which says of what type it is",
        ),
        (
            Annotated[Cube | Ball, Field(discriminator="kind")],
            {"kind": "cube", "edge": "long"},
            "'x'.edge: 'long' is not a number",
        ),
        # What others say.
        (Annotated[int, BeforeValidator(refuse)], 3, "'x': 3 is odd"),
        (Annotated[int, BeforeValidator(refuse_silently)], 3, "'x': 3 is refused by its validator"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("'x'") else "",
)
def test_a_parameter_that_does_not_fit_is_named_with_its_value_and_what_is_wrong(
    annotation: Any, given: Any, words: str
) -> None:
    assert refused(annotation, given) == words


WITHOUT_VALUE = {
    *("missing", "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument"),
    *("extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"),
}


@pytest.mark.parametrize("error", list_all_errors(), ids=lambda error: error["type"])
def test_nothing_that_pydantic_knows_is_said_in_its_words(error: dict[str, Any]) -> None:
    told = (
        {"error": "it is odd"}
        if error["type"] in ("value_error", "assertion_error")
        else error["example_context"]
    )

    def fail(value: Any) -> Any:
        raise PydanticKnownError(error["type"], told)

    words = refused(Annotated[Any, BeforeValidator(fail)], "this")
    assert words.startswith("'x'")
    assert ("'this'" in words) != (error["type"] in WITHOUT_VALUE)
    assert not {"Input", "should", "unable", "{", "…"} & set(words.replace(",", " ").split())


def test_no_type_of_error_is_left_out() -> None:
    assert {error["type"] for error in list_all_errors()} == set(get_args(core_schema.ErrorType))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Input should be a valid molecule", "'x': 'this' should be a valid molecule"),
        ("value is not a valid molecule", "'x': 'this' is not a valid molecule"),
        ("Too heavy", "'x': 'this' is refused: Too heavy"),
    ],
)
def test_an_error_that_nobody_has_foreseen_names_the_value_too(said: str, words: str) -> None:
    def fail(value: Any) -> Any:
        raise PydanticCustomError("molecule", said)

    assert refused(Annotated[Any, BeforeValidator(fail)], "this") == words
