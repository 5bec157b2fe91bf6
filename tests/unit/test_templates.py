"""Commands with values in them: `submit --each T.csv -- solve -T {T}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from simcelery.cli import sources
from simcelery.cli.recording import prepared
from simcelery.cli.targets import Here
from simcelery.cli.templates import Template
from simcelery.errors import ParametersError, UsageError
from simcelery.submission.options import Options
from simcelery.worker import builtin


def commands(
    argv: Sequence[str], *pairs: str, each: str | None = None, grid: Sequence[str] = ()
) -> list[list[str]]:
    """The commands that would be submitted."""
    target = Template(Here(builtin.command), argv)
    jobs = prepared(target, sources.items(target, pairs, each, grid), Options())
    return [list(job.parameters["argv"]) for job in jobs]


def test_each_row_of_a_table_fills_its_places_with_its_cells_as_they_are(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("T,name\n0.10,a b\n3e2,$x\n")
    argv = ["lmp", "-var", "T", "{T}", "-log", "{name}-{T}.log", "-in", "in.melt"]
    assert commands(argv, each=str(table)) == [
        ["lmp", "-var", "T", "0.10", "-log", "a b-0.10.log", "-in", "in.melt"],
        ["lmp", "-var", "T", "3e2", "-log", "$x-3e2.log", "-in", "in.melt"],
    ]


def test_a_grid_and_one_value_for_all() -> None:
    made = commands(["solve", "{n}", "--to={code}"], "code=x", grid=["n=1:3:1"])
    assert made == [["solve", str(n), "--to=x"] for n in (1, 2, 3)]


def test_a_file_for_the_only_place(tmp_path: Path) -> None:
    for name in ("a.in", "b.in"):
        (tmp_path / name).touch()
    made = commands(["solve", "{file}"], each=str(tmp_path / "*.in"))
    assert made == [["solve", str(tmp_path / "a.in")], ["solve", str(tmp_path / "b.in")]]


def test_json_lines_give_text_numbers_and_truth(tmp_path: Path) -> None:
    lines = tmp_path / "points.jsonl"
    lines.write_text(json.dumps({"a": "x", "b": 0.1, "c": 3, "d": True}) + "\n")
    assert commands(["run", "{a}{b}{c}{d}"], each=str(lines)) == [["run", "x0.13true"]]


@pytest.mark.parametrize("value", [None, [1], {"x": 1}])
def test_other_values_are_no_part_of_a_command(value: Any, tmp_path: Path) -> None:
    lines = tmp_path / "points.jsonl"
    lines.write_text(json.dumps({"a": value}) + "\n")
    with pytest.raises(ParametersError, match=r"points.jsonl line 1: a: its value is .* part of the command"):
        commands(["run", "{a}"], each=str(lines))


def test_braces_that_hold_no_name_stand_for_themselves_and_doubled_ones_too() -> None:
    argv = ["sh", "-c", "awk '{print $1}' ${HOME} {}; {{T}} { T } {a-b} {1} x{T}x"]
    assert commands(argv, "T=5", grid=[])[0][2] == "awk '{print $1}' ${HOME} {}; {T} { T } {a-b} {1} x5x"


def test_a_place_without_a_value_and_a_value_without_a_place_are_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ParametersError, match=r"the command has \{Temp\}, but .*only: T\).* \{\{Temp\}\}"):
        commands(["run", "{T}", "{Temp}"], grid=["T=1,2"])
    with pytest.raises(ParametersError, match="nothing in the command takes 'P'"):
        commands(["run", "{T}"], grid=["T=1,2", "P=1,2"])
    table = tmp_path / "points.csv"
    table.write_text("T,P\n1,\n")
    with pytest.raises(ParametersError, match=r"points.csv line 2: the command has \{P\}"):
        commands(["run", "{T}", "{P}"], each=str(table))
    with pytest.raises(UsageError, match="given twice"):
        commands(["run", "{T}"], "T=1", grid=["T=1,2"])


def test_a_value_is_not_read_for_places_again() -> None:
    assert commands(["run", "{a}", "{b}"], "a={b}", "b=x") == [["run", "{b}", "x"]]
