"""The command that submits a job again gives the same job."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery.board.states import State
from simcelery.cli import references
from simcelery.describe import again
from simcelery.workflows.parameters import Parameters


def row(**changes: Any) -> Any:
    """As much of a job as is asked for."""
    about = {"id": 7, "workflow": "w", "state": State.SUCCEEDED, "queue": "cpu", "priority": 4, "tags": []}
    return SimpleNamespace(**{**about, "parameters": {}, **changes})


def anything(a: Any, text: str = "", number: float = 0.0) -> None:
    """Takes whatever it is given."""


@pytest.mark.parametrize(
    "given",
    [
        {"a": 1},
        {"a": -1.5e-300, "number": 0.1},
        {"a": None},
        {"a": True},
        {"a": "NaCl.cif"},
        {"a": 'it\'s $HOME; `rm` \\ "x" ü'},
        {"a": ["x", 1, {"y": [None, "5"]}], "text": "a=b"},
        {"a": {"b c": "x y"}},
        {"a": ""},
    ],
)
def test_it_is_read_as_what_the_job_had(given: dict[str, Any]) -> None:
    parameters = Parameters("w", anything)
    stored = parameters.encode(given, int)
    [line] = again.commands(row(parameters=stored, tags=["two words"]))
    words = shlex.split(line)
    assert words[:3] == ["simcelery", "submit", "w"]
    assert words[-6:] == ["--queue", "cpu", "--priority", "4", "--tag", "two words"]
    texts = [tuple(word.split("=", 1)) for word in words[3:-6]]
    plain, jobs = references.split(texts)
    assert jobs == {}
    assert parameters.encode(parameters.parse(plain), int) == stored


@pytest.mark.parametrize(
    "value",
    [
        "5",
        "true",
        '"x"',
        "[1]",
        "nan",
        "@42",
        ["@42"],
        "\x1b[31m",
        {"$float": "nan"},
        {"$ndarray": [1, 2]},
        "x" * 5000,
    ],
)
def test_what_would_be_read_as_something_else_is_not_told(value: Any) -> None:
    assert again.commands(row(parameters={"a": value})) == []
    assert again.commands(row(parameters={"a": value}, state=State.FAILED)) == ["simcelery retry 7"]


def test_commands_jobs_and_calls() -> None:
    found = again.commands(row(workflow="command", parameters={"argv": ["sh", "-c", "a b"], "env": None}))
    assert found == ["simcelery submit --queue cpu --priority 4 -- sh -c 'a b'"]
    assert again.commands(row(workflow="command", parameters={"argv": ["x"], "env": {"A": "1"}})) == []
    assert again.commands(row(workflow="function", parameters={"function": "f"})) == []
    [line] = again.commands(row(parameters={"energy": {"$job": 42}}))
    assert " energy=@42 " in line
