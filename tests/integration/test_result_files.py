"""``simcelery results -O``: a file holds every value of every job, with its type, or does not exist."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

import simcelery
from simcelery.board import catalogue, engine
from simcelery.board.catalogue import Entry
from simcelery.errors import UsageError
from simcelery.tables import files, reading
from simcelery.tables.gathering import Column, Gathered
from tests.board_helpers import sql
from tests.conftest import Project
from tests.integration.test_conditions import ended

FILL = """
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, started_at, finished_at, attempt, result)
SELECT gen_random_uuid(), 'w', jsonb_build_object('n', n, 'fmax', 0.05), 'succeeded', 'default', 4, 1,
    5, 'me', now(), now(), 1, CASE WHEN n < 25000 THEN jsonb_build_object('energy', n)
        ELSE jsonb_build_object('energy', 1.5, 'late', 'x', 'mixed', n) END
FROM generate_series(1, 25001) n
"""


def table(path: Path, *, everything: bool = False) -> list[str]:
    """Write all results to a file; the titles of its columns."""
    with Gathered() as found, files.complete(path, replace=False) as file:
        found.add(reading.of_everything(simcelery.jobs(state="succeeded").which))
        columns = found.everything() if everything else found.telling()[0]
        files.write(file, path.suffix, columns, found.rows())
    return [column.title for column in columns]


@pytest.mark.usefixtures("board")
def test_what_comes_late_is_not_lost_and_what_is_broken_stays_broken(tmp_path: Path) -> None:
    sql(FILL)
    ended({"energy": 5, "mixed": "text"}, n=25002, fmax=0.05)
    assert table(tmp_path / "a.parquet") == ["id", "n", "energy", "late", "mixed"]
    found = parquet.read_table(tmp_path / "a.parquet")
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {"id": "int64", "n": "int64", "energy": "double", "late": "string", "mixed": "string"}
    assert found.column("n").to_pylist() == list(range(1, 25003))
    assert found.column("energy").to_pylist() == [*map(float, range(1, 25000)), 1.5, 1.5, 5.0]
    assert found.column("late").to_pylist() == [None] * 24999 + ["x", "x", None]
    assert found.column("mixed").to_pylist()[-3:] == ["25000", "25001", "text"]


@pytest.mark.usefixtures("board")
def test_the_arguments_of_a_call_are_columns(tmp_path: Path) -> None:
    for x in (1, 2):
        call = {"function": "mymd:answer", "arguments": {"x": x, "source": "a", "k": [x]}, "source": "1"}
        sql(
            "UPDATE jobs SET workflow = 'function', parameters = CAST(:given AS jsonb) WHERE id = :id",
            id=ended({"energy": 2.5 * x, "k": x}),
            given=json.dumps(call),
        )
    path = tmp_path / "calls.csv"
    assert table(path) == ["id", "parameters.arguments.k", "x", "result.k", "energy"]


HARD: list[dict[str, Any]] = [
    {"seed": 2**53 + 1, "x": None, "flag": True, "forces": [[1, 2.5]], "huge": 10**30, "o": {"a": [1]}},
    {"seed": 5, "x": math.nan, "flag": None, "forces": [], "huge": 1, "o": {"b": "ü"}},
    {"seed": -1, "x": -math.inf, "text": '=cmd|"x"\n,', "forces": [[math.nan]], "tuple": (1, 2)},
]


@pytest.mark.usefixtures("board")
def test_every_value_is_in_every_format(tmp_path: Path) -> None:
    ids = [ended(result, number=n) for n, result in enumerate(HARD)]
    for suffix in ("parquet", "csv", "jsonl", "json"):
        table(tmp_path / f"a.{suffix}", everything=True)
    listed = json.loads((tmp_path / "a.json").read_text())
    assert repr([json.loads(line) for line in (tmp_path / "a.jsonl").open()]) == repr(listed)
    assert [row["id"] for row in listed] == ids
    for row, result in zip(listed, HARD, strict=True):
        given = {f"result.{name}": list(v) if isinstance(v, tuple) else v for name, v in result.items()}
        assert repr({name: row[name] for name in given}) == repr(given)
    found = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    for row, as_json in zip(found, listed, strict=True):
        for name, value in as_json.items():
            kept = json.loads(row[name]) if name in ("result.huge", "result.o") and row[name] else row[name]
            assert repr(kept).replace("1.0", "1") == repr(value).replace("1.0", "1"), name
    types = {one.name: str(one.type) for one in parquet.read_schema(tmp_path / "a.parquet")}
    assert types["result.seed"] == "int64"
    assert types["result.forces"] == "list<element: list<element: double>>"
    assert types["result.flag"] == "bool"
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["result.seed"] for row in rows] == [str(2**53 + 1), "5", "-1"]
    assert [row["result.x"] for row in rows] == ["", "nan", "-inf"]
    assert rows[2]["result.text"] == '\'=cmd|"x"\\n,'


@pytest.mark.usefixtures("board")
def test_types_come_from_the_return_annotation(tmp_path: Path) -> None:
    fields = {"energy": {"type": "number"}, "label": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
    returns = {"$ref": "#/$defs/R", "$defs": {"R": {"type": "object", "properties": fields}}}
    with engine.begin() as connection:
        catalogue.write(
            connection, [Entry("w", "", {"properties": {"b": {}, "a": {}}}, {}, "q", "1", returns)]
        )
    ended({"label": None, "energy": 1}, a=1, b=1)
    ended({"label": None, "energy": 2}, a=2, b=2)
    assert table(tmp_path / "a.parquet") == ["id", "b", "a", "energy", "label"]
    types = {one.name: str(one.type) for one in parquet.read_schema(tmp_path / "a.parquet")}
    assert types == {"id": "int64", "b": "int64", "a": "int64", "energy": "double", "label": "string"}


@pytest.mark.usefixtures("board")
def test_only_parameters_that_vary_and_scalars_are_columns(tmp_path: Path) -> None:
    ended({"energy": 1.0, "stress": [1, 2], "state": "fcc"}, fmax=0.05, kpts=[4, 4], id=7)
    ended({"energy": 2.0, "stress": [1, 2], "state": "bcc"}, fmax=0.05, kpts=[6, 6], id=7)
    assert table(tmp_path / "two.csv") == ["id", "kpts", "state", "energy"]
    ended(5.0, fmax=0.05, kpts=[6, 6], energy=1)
    assert ",".join(table(tmp_path / "three.csv")) == (
        "id,parameters.id,kpts,parameters.energy,state,result.energy,result"
    )
    sql("DELETE FROM jobs WHERE id > (SELECT min(id) FROM jobs)")
    assert table(tmp_path / "one.csv") == ["id", "parameters.id", "fmax", "kpts", "state", "energy"]
    sql("DELETE FROM jobs")
    assert table(tmp_path / "none.parquet") == ["id"]


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    column = Column("x", "x", None)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), files.complete(path, replace=False) as file:
        files.write(file, ".csv", [column], ({"x": 1 / number} for number in (1, 0)))
    assert list(tmp_path.iterdir()) == []
    with files.complete(path, replace=False) as file:
        files.write(file, ".csv", [column], [{"x": 1}])
        assert not path.exists()
    assert path.read_text() == "x\n1\n"
    with pytest.raises(UsageError, match="exists already: give another name, or --force"):
        files.check(path, replace=False)
    with files.complete(path, replace=True) as file:
        files.write(file, ".csv", [column], [{"x": 2}])
    assert path.read_text() == "x\n2\n"
    assert list(tmp_path.iterdir()) == [path]
    with (
        pytest.raises(UsageError, match="cannot be written: No such file"),
        files.complete(tmp_path / "no" / "a.csv", replace=False),
    ):
        pass


def test_the_command_writes_files_and_says_what_is_in_them(project: Project) -> None:
    one = ended({"energy": -4.0, "stress": [1, 2]}, structure="Cu", fmax=0.05)
    two = ended({"energy": -2.0, "stress": [3, 4]}, structure="Ni", fmax=0.05)
    three = ended({"energy": "none", "stress": None}, structure="Si", fmax=0.05)
    sql(
        "UPDATE jobs SET state = 'failed', error_type = 'ValueError', error_message = 'x' WHERE id = :i",
        i=three,
    )

    def run(*options: str) -> Any:
        return project.run("simcelery", "results", *options)

    done = run("--where", "energy < -1 and fmax <= 0.05", "-O", "a.parquet")
    assert done.stdout == "2 jobs in a.parquet: id, structure, energy\n"
    assert done.stderr == "1 more column, with --all-fields or --fields: result.stress\n"
    found = parquet.read_table(project.folder / "a.parquet").to_pylist()
    assert found[0] == {"id": one, "structure": "Cu", "energy": -4.0}
    assert found[1:] == [{"id": two, "structure": "Ni", "energy": -2.0}]
    done = run("--fields", "structure,stress.0,state,elapsed", "-O", "b.jsonl", "-o", "json")
    assert json.loads(done.stdout) == {
        "file": "b.jsonl", "jobs": 2, "columns": ["structure", "stress.0", "state", "elapsed"]}  # fmt: skip
    lines = [json.loads(line) for line in (project.folder / "b.jsonl").open()]
    assert [(row["structure"], row["stress.0"], row["state"]) for row in lines] == [
        ("Cu", 1, "succeeded"), ("Ni", 3, "succeeded")]  # fmt: skip
    done = run("--all", "--fields", "id,energy,error", "-O", "c.csv")
    assert "energy: values of different kinds, such as numbers beside text; written as text" in done.stderr
    assert (project.folder / "c.csv").read_text() == (
        f"id,energy,error\n{one},-4.0,\n{two},-2.0,\n{three},none,ValueError: x\n"
    )
    done = run("-O", "c.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "c.csv exists already" in done.stderr
    assert run("--all", "-O", "c.csv", "--force", "-o", "quiet").stdout == ""
    assert (project.folder / "c.csv").read_text().startswith("id,state,error,structure,energy\n")
    assert "the name must end with .parquet, .csv" in run("-O", "c.xlsx").stderr
    assert json.loads(run("--fields", "id,result.energy", "-o", "json").stdout) == [
        {"id": one, "result.energy": -4.0}, {"id": two, "result.energy": -2.0}]  # fmt: skip
    done = run("--fields", "structure,energy")
    assert done.stdout.split() == ["STRUCTURE", "ENERGY", "Cu", "-4.0", "Ni", "-2.0"]
    assert run("--fields", "structure,,").stderr.startswith(
        "simcelery: --fields: expected a name at character 11"
    )
    assert run("--fields", "id.x", "-o", "jsonl").returncode == 2
    left = [path.name for path in project.folder.iterdir() if "partial" in path.name]
    assert left == []
