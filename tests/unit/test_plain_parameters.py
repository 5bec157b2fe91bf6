"""The short way of plain parameters records just what the long way records."""

from __future__ import annotations

import math
from typing import Annotated, Any, Optional

import pytest
from pydantic import Field

from simcelery.errors import ParametersError
from simcelery.submission import plain
from simcelery.submission.options import Options
from simcelery.submission.submit import preparation
from simcelery.submission.workflow import Workflow


def scan(
    n: int,
    x: float = 1,
    name: str = "Cu",
    flag: bool = True,
    maybe: Optional[float] = None,  # noqa: UP045 (both forms are met)
    either: int | str = 0,
    anything: Any = None,
) -> None: ...


def strict(n: Annotated[int, Field(gt=0)]) -> None: ...


def odd(x: float = math.nan, n: int = 1) -> None: ...


SCAN, STRICT, ODD = (Workflow(function) for function in (scan, strict, odd))


def long_way(workflow: Workflow, given: dict[str, Any]) -> dict[str, Any]:
    """What validation and encoding make of the parameters."""
    parameters = workflow.parameters
    return parameters.encode(parameters.validate(parameters.bind((), given)), job=lambda ref: ref.id)


@pytest.mark.parametrize(
    "given",
    [
        {"n": 1},
        {"n": -(2**63) + 1, "x": 2, "name": "", "flag": False},
        {"n": 0, "x": 1e-300, "maybe": 0.5, "either": 'a\\b\t"c', "anything": True},
        {"n": 3, "either": 7, "anything": "x", "name": "a\nb"},
    ],
    ids=range(4),
)
def test_plain_values_take_the_short_way(given: dict[str, Any]) -> None:
    short = plain.encoded(SCAN, given)
    long = long_way(SCAN, given)
    assert short is None or repr(short) == repr(long)
    assert (short is None) == ("x" not in given)  # its default is an int, which validation makes a float


@pytest.mark.parametrize(
    "given",
    [
        {"n": True},
        {"n": "1"},
        {"n": 1.0},
        {"n": 2**70},
        {"n": 1, "x": -0.0},
        {"n": 1, "x": math.inf},
        {"n": 1, "x": math.nan},
        {"n": 1, "x": 1e16},
        {"n": 1, "x": 2**60},
        {"n": 1, "name": "Å"},
        {"n": 1, "name": None},
        {"n": 1, "maybe": 1},
        {"n": 1, "anything": [1]},
        {},
        {"n": 1, "m": 1},
        {"n": 1, "name": "\0"},
    ],
    ids=repr,
)
def test_what_is_not_certain_takes_the_long_way(given: dict[str, Any]) -> None:
    assert plain.encoded(SCAN, {"x": 1.0, **given}) is None


def test_what_is_more_than_a_type_takes_the_long_way() -> None:
    assert plain.encoded(STRICT, {"n": 1}) is None
    with pytest.raises(ParametersError, match="greater than 0"):
        preparation(STRICT, Options())({"n": 0})


def test_a_default_that_is_not_stored_as_it_is_takes_the_long_way() -> None:
    assert plain.encoded(ODD, {"n": 2}) is None
    assert plain.encoded(ODD, {"x": 2.5}) == {"x": 2.5, "n": 1}
