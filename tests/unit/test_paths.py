"""Relative paths at submission: what exists is meant; what does not may be a file to write."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, DirectoryPath, FilePath

from simcelery.board.catalogue import Entry
from simcelery.submission.by_catalogue import prepare_entry
from simcelery.submission.options import Options
from simcelery.submission.submit import prepare
from simcelery.workflows.definition import Definition
from simcelery.workflows.encoding import encode


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds a file, a folder and a link out of it."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "data").touch()
    (tmp_path / "here" / "POSCAR").touch()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    return Path.cwd()


@dataclasses.dataclass
class Input:
    file: Path
    name: str = "POSCAR"


class Model(BaseModel):
    file: Path
    inner: Input


class Pair(NamedTuple):
    file: Path
    number: int


def stored(annotation: Any, value: Any) -> Any:
    """What the board stores for a parameter that is annotated so."""

    def workflow(x):  # type: ignore[no-untyped-def]
        return x

    workflow.__annotations__ = {"x": annotation}
    return prepare(Definition(workflow, name="w"), {"x": value}, Options()).parameters["x"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Path, "POSCAR", "{here}/POSCAR"),
        (Path, Path("./below/../POSCAR"), "{here}/POSCAR"),
        (Path, "below", "{here}/below"),
        (Path, "not-yet.traj", "not-yet.traj"),
        (Path, "/etc/../nowhere", "/etc/../nowhere"),
        (Path, "link/../data", "{here}/link/../data"),  # not {here}/data
        (Path, "~/data", "{home}/data"),
        (Path | None, "POSCAR", "{here}/POSCAR"),
        (Path | None, None, None),
        (str | Path, "POSCAR", "{here}/POSCAR"),
        (str | Path, "a word", "a word"),
        (FilePath, "POSCAR", "{here}/POSCAR"),
        (DirectoryPath, "below", "{here}/below"),
        (os.PathLike[str], Path("POSCAR"), "{here}/POSCAR"),
        (Annotated[Path, "a note"], "POSCAR", "{here}/POSCAR"),
        (list[Path], ["POSCAR", "new"], ["{here}/POSCAR", "new"]),
        (list[str | Path], ["POSCAR"], ["{here}/POSCAR"]),
        (tuple[int, Path], (1, "POSCAR"), [1, "{here}/POSCAR"]),
        (dict[str, Path], {"POSCAR": "POSCAR"}, {"POSCAR": "{here}/POSCAR"}),
        (dict[str, list[str | Path]], {"a": ["POSCAR"]}, {"a": ["{here}/POSCAR"]}),
        (Input, {"file": "POSCAR"}, {"file": "{here}/POSCAR", "name": "POSCAR"}),
        (list[Input], [Input(Path("POSCAR"))], [{"file": "{here}/POSCAR", "name": "POSCAR"}]),
        (
            Model,
            {"file": "POSCAR", "inner": {"file": "below"}},
            {"file": "{here}/POSCAR", "inner": {"file": "{here}/below", "name": "POSCAR"}},
        ),
        (Pair, ("POSCAR", 1), ["{here}/POSCAR", 1]),
        (str, "POSCAR", "POSCAR"),
        (Any, "POSCAR", "POSCAR"),
        (Any, {"x": [Path("POSCAR")]}, {"x": [{"$path": "{here}/POSCAR"}]}),
    ],
)
def test_what_exists_at_submission_is_recorded_absolute(
    here: Path, annotation: Any, value: Any, expected: Any
) -> None:
    assert stored(annotation, value) == _filled(expected, here)


def _filled(expected: Any, here: Path) -> Any:
    if isinstance(expected, str):
        return expected.replace("{here}", str(here)).replace("{home}", os.environ["HOME"])
    if isinstance(expected, list):
        return [_filled(item, here) for item in expected]
    if isinstance(expected, dict):
        return {name: _filled(item, here) for name, item in expected.items()}
    return expected


def test_dedupe_knows_a_file_by_its_absolute_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(file: Path) -> None: ...

    workflow = Definition(read, name="w")

    def key(file: str) -> str | None:
        return prepare(workflow, {"file": file}, Options(dedupe=True)).idempotency_key

    above, absolute, dotted = key("POSCAR"), key(str(here / "POSCAR")), key("./POSCAR")
    assert above == absolute == dotted
    (here / "below" / "POSCAR").touch()
    monkeypatch.chdir(here / "below")
    assert key("POSCAR") != above


def test_what_only_the_catalogue_knows_is_read_by_its_schema(here: Path) -> None:
    def read(file: Path, files: list[Path], more: Input, either: str | Path = "x") -> None: ...

    definition = Definition(read, name="w")
    entry = Entry("w", "", definition.parameters.json_schema(), DEFAULTS, "default", "1")
    given = {"file": "POSCAR", "files": ["below", "new"], "more": {"file": "POSCAR"}, "either": "POSCAR"}
    assert prepare_entry(entry, given, Options()).parameters == {
        "file": f"{here}/POSCAR",
        "files": [f"{here}/below", "new"],
        "more": {"file": f"{here}/POSCAR"},
        "either": f"{here}/POSCAR",
    }


DEFAULTS = {
    "priority": 4,
    "max_attempts": 1,
    "max_losses": 5,
    "time_limit": None,
    "soft_time_limit": None,
}


def test_a_metal_of_the_demo_is_no_file_whatever_lies_around(here: Path) -> None:
    from simcelery.demo.workflows import relax

    (here / "Cu").mkdir()
    (here / "NaCl.cif").touch()
    entry = Entry("emt.relax", "", relax.parameters.json_schema(), DEFAULTS, "default", "1")
    for given, expected in (("Cu", "Cu"), ("NaCl.cif", f"{here}/NaCl.cif")):
        assert prepare_entry(entry, {"structure": given}, Options()).parameters["structure"] == expected


def test_a_path_in_a_result_means_the_file_in_the_folder_of_its_attempt(here: Path) -> None:
    assert encode({"file": Path("POSCAR"), "new": Path("new")}) == {"file": f"{here}/POSCAR", "new": "new"}
