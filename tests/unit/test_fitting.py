"""Which results of jobs can never be the value of a parameter, by what both declare."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BeforeValidator

from simcelery.workflows.fitting import never_fits
from simcelery.workflows.parameters import Parameters


@dataclass
class Relaxed:
    energy: float


def of(takes: Any = None, gives: Any = None) -> Parameters:
    def function(x: Any) -> Any: ...

    function.__annotations__ = {"x": takes, "return": gives}
    return Parameters("w", function)


def verdict(gives: Any, takes: Any, place: int | None = None) -> str | None:
    returns = of(gives=gives).returns_schema()
    assert returns is not None
    return never_fits(of(takes=takes), "x", place, returns)


@pytest.mark.parametrize(
    ("gives", "takes", "said"),
    [
        (Relaxed, float, "a dictionary, and not a number"),
        (None, float, "nothing, and not a number"),
        (float, str, "a number, and not a string"),
        (list[float], float, "a list, and not a number"),
        (str, list[str], "a string, and not a list"),
        (Relaxed | None, float, "nothing or a dictionary, and not a number"),
        (list[float], int | str, "a list, and not an integer or a string"),
    ],
)
def test_a_result_of_another_type_never_fits(gives: Any, takes: Any, said: str) -> None:
    assert verdict(gives, takes) == said


@pytest.mark.parametrize(
    ("gives", "takes"),
    [
        (Any, float),
        (float, Any),
        (float, int),
        (str, float),  # "1.5"
        (str, complex),
        (complex, complex),
        (float, bool),  # 1.0
        (float | None, float),
        (Relaxed, Relaxed),
        (Relaxed, dict[str, float]),
        (np.ndarray, list[float]),
        (np.float64, float),
        (set[int], list[int]),
        (tuple[int, int], list[float]),
        (list[float], tuple[float, float, float]),
        (list[int], Iterable[int]),
        (dt.datetime, dt.date),
        (dt.timedelta, float),
        (bytes, str),
        (Literal["a"], Literal["a", "b"]),
        (Path, Path),
        (Relaxed, Annotated[float, BeforeValidator(lambda one: one.energy)]),
    ],
)
def test_a_result_that_may_fit_is_no_concern(gives: Any, takes: Any) -> None:
    assert verdict(gives, takes) is None


def test_an_item_is_judged_by_its_place() -> None:
    assert verdict(Relaxed, list[float], 3) == "a dictionary, and not a number"
    assert verdict(Relaxed, tuple[float, dict[str, float]], 1) is None
    assert verdict(float, tuple[float, dict[str, float]], 1) == "a number, and not a dictionary"
    assert verdict(Relaxed, list[float] | list[dict[str, float]], 0) is None
