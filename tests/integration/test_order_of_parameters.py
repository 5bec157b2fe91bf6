"""Parameters are shown in the order of the signature, which jsonb does not keep."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

import simcelery
from simcelery.board import catalogue, engine
from simcelery.board.catalogue import Entry
from simcelery.services import Services
from tests.board_helpers import record, row, sql
from tests.conftest import Project

NAMES = ["structure", "fmax", "k", "b_cell", "a"]
JSONB = sorted(NAMES, key=lambda name: (len(name), name))
VALUES = dict.fromkeys(NAMES, 1)
SOURCE = """
from simcelery import workflow

@workflow
def ordered(structure: int, fmax: int = 1, k: int = 1, *, b_cell: int = 1, a: int = 1) -> int:
    "Its parameters have an order."
    return structure
"""


def entry(name: str = "w") -> Entry:
    """A workflow of the catalogue whose signature has an order of its own."""
    schema = {"properties": {each: {"type": "integer"} for each in NAMES}, "required": ["structure"]}
    return Entry(name, "", schema, {}, "default", "1")


def known() -> None:
    """Put it in the catalogue."""
    with engine.begin() as connection:
        catalogue.write(connection, [entry()])


@pytest.mark.usefixtures("board")
def test_the_catalogue_keeps_the_order() -> None:
    known()
    with engine.begin() as connection:
        [found] = catalogue.read(connection)
    assert found == entry()
    assert list(found.parameters["properties"]) == NAMES


@pytest.mark.usefixtures("board")
def test_rows_and_handles_have_it() -> None:
    job = record(parameters=VALUES)
    assert list(row(job.id).parameters) == JSONB  # nobody has told the board of it
    known()
    assert list(row(job.id).parameters) == NAMES
    assert list(simcelery.get_job(job.id).parameters.items()) == list(VALUES.items())
    assert [list(each.parameters) for each in simcelery.jobs().rows()] == [NAMES]


@pytest.mark.usefixtures("board")
def test_a_job_of_an_earlier_signature_loses_nothing() -> None:
    known()
    job = record(parameters={"x": 1, "fmax": 2, "structure": 3, "removed": 4})
    assert list(row(job.id).parameters.items()) == [("structure", 3), ("fmax", 2), ("x", 1), ("removed", 4)]


@pytest.mark.usefixtures("board")
@pytest.mark.parametrize("order", ["null", "{}", '"fmax"', "[1, null, [], {}]", '["fmax", "fmax", "no"]'])
def test_an_order_that_is_none_breaks_nothing(order: str) -> None:
    known()
    added = "jsonb_build_object('propertyOrder', :order ::jsonb)"
    sql(f"UPDATE workflows SET parameters = parameters || {added}", order=order)
    assert row(record(parameters=VALUES).id).parameters == VALUES
    with engine.begin() as connection:
        [found] = catalogue.read(connection)
    assert found.parameters == entry().parameters


def test_every_verb_has_it(board: Services, project: Project) -> None:
    (project.folder / "sims.py").write_text(SOURCE)
    project.worker()
    given = [f"{name}={number}" for number, name in enumerate(JSONB, 2)]
    done = project.run("simcelery", "submit", "sims.ordered", *given, "--wait")
    assert done.returncode == 0, done.stderr
    (project.folder / "simcelery.toml").write_text("")  # from here on only the board knows it

    def shown(*arguments: str) -> str:
        found = project.run("simcelery", *arguments)
        assert found.returncode == 0, found.stderr
        return found.stdout

    def order(text: str) -> list[str]:
        return list(dict.fromkeys(re.findall(rf"\b({'|'.join(NAMES)})\b", text)))

    assert order(shown("list")) == NAMES
    assert order(shown("show", "last").partition("parameters")[2].partition("attempts")[0]) == NAMES
    assert order(shown("workflows", "sims.ordered")) == NAMES
    header = next(csv.reader(io.StringIO(shown("results", "--format", "csv"))))
    assert header == ["id", "workflow", *(f"parameters.{name}" for name in NAMES), "result"]
    assert shown("results").split("\n")[0].split() == ["ID", "WORKFLOW", *map(str.upper, NAMES), "RESULT"]
    for verb in (["list"], ["show", "last"], ["results"], ["status", "last"]):
        found: Any = json.loads(shown(*verb, "-o", "json"))
        assert list((found if isinstance(found, dict) else found[0])["parameters"]) == NAMES
