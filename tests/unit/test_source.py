"""Fingerprints of a workflow's source: they change with what it runs, and with nothing else."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from simcelery.workflows import source

MAIN = """import json, numpy
import helpers
from tools.fit import fit
from tools import (
    plot as p,  # x
)
"""
FILES = {
    "sims.py": MAIN + "def run() -> int:\n    from late import value\n    return value\n",
    "helpers.py": "x = 1\n",
    "late.py": "value = 1\n",
    "unrelated.py": "x = 1\n",
    "tools/__init__.py": "",
    "tools/fit.py": "from . import deep\nfrom .deep import fit\n",
    "tools/plot.py": "",
    "tools/deep.py": "from ..nothing import x\nfit = 1\n",
    "tools/other.py": "",
}


@pytest.fixture
def project(tmp_path: Path, project_in: Callable[[Path], Callable[[], str]]) -> Callable[[], str]:
    """Files of a project; called, the fingerprint of its workflow."""
    return project_in(tmp_path / "here")


@pytest.fixture
def project_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Callable[[], str]]:
    """The same in a folder of one's choice; what was imported before is there again after the test."""
    return partial(_project, monkeypatch)


def _project(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[], str]:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "nothing.py").write_text("")

    class Loaded:
        __file__ = str(folder / "sims.py")
        __spec__ = importlib.machinery.ModuleSpec("sims", None)

    def run() -> None: ...

    run.__module__ = "sims"
    run.folder = folder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sims", Loaded)
    return lambda: source.fingerprint(run)


def change(folder: Path, name: str) -> None:
    file = folder / name
    file.write_text(file.read_text() + "# changed\n")


@pytest.mark.parametrize(
    "name",
    [
        "sims.py",
        "helpers.py",
        "late.py",
        "tools/__init__.py",
        "tools/fit.py",
        "tools/plot.py",
        "tools/deep.py",
    ],
)
def test_it_changes_with_each_file_of_the_project_that_is_imported(
    project: Callable[[], str], tmp_path: Path, name: str
) -> None:
    before = project()
    assert before.startswith("sims.py:")
    change(tmp_path / "here", name)
    assert project() != before


@pytest.mark.parametrize("name", ["unrelated.py", "tools/other.py"])
def test_it_does_not_change_with_others(project: Callable[[], str], tmp_path: Path, name: str) -> None:
    before = project()
    change(tmp_path / "here", name)
    assert project() == before


def test_neither_the_folder_nor_the_time_counts(
    project: Callable[[], str], tmp_path: Path, project_in: Callable[[Path], Callable[[], str]]
) -> None:
    before = project()
    os.utime(tmp_path / "here" / "sims.py", (1, 1))
    assert project() == before
    assert project_in(tmp_path / "elsewhere")() == before


def test_libraries_beside_an_installed_module_do_not_count(
    tmp_path: Path, project_in: Callable[[Path], Callable[[], str]]
) -> None:
    folder = tmp_path / "lib" / "site-packages"
    fingerprint = project_in(folder)
    before = fingerprint()
    change(folder, "helpers.py")
    assert fingerprint() == before
    change(folder, "sims.py")
    assert fingerprint() != before


def test_what_has_no_file_has_none() -> None:
    def run() -> None: ...

    run.__module__ = "nonesuch"
    assert source.fingerprint(run) == ""
    run.__module__ = "simcelery.demo.workflows"
    assert source.fingerprint(run) == ""


def test_a_module_far_down_a_long_chain_of_imports_counts(
    tmp_path: Path, project_in: Callable[[Path], Callable[[], str]]
) -> None:
    fingerprint = project_in(tmp_path / "here")
    for number in range(100):
        (tmp_path / "here" / f"m{number}.py").write_text(f"import m{number + 1}\n")
    (tmp_path / "here" / "sims.py").write_text("import m0\n")
    before = fingerprint()
    change(tmp_path / "here", "m99.py")
    assert fingerprint() != before


def test_what_appears_or_goes_later_counts_though_the_walk_is_remembered(
    project: Callable[[], str], tmp_path: Path
) -> None:
    """Not only the files that were read count, but also that others were not there."""
    here = tmp_path / "here"

    def age() -> None:
        for path in (here, *here.rglob("*")):
            changed_at = path.stat().st_mtime - 10
            os.utime(path, (changed_at, changed_at))

    age()
    found = [project()]
    assert project() == found[0]
    for change in (
        lambda: (here / "numpy.py").write_text("x = 1\n"),
        lambda: (here / "numpy.py").write_text("import json\nx = 2\n"),
        lambda: (here / "json").mkdir() or (here / "json" / "__init__.py").write_text(""),
        lambda: (here / "tools" / "fit").mkdir() or (here / "tools" / "fit" / "__init__.py").write_text(""),
        lambda: (here / "helpers.py").unlink(),
        lambda: (here / "numpy.py").rename(here / "helpers.py"),
    ):
        change()
        found.append(project())
        age()
        assert project() == found[-1]
    assert len(set(found)) == len(found)


def test_a_walk_is_not_repeated_for_each_workflow_of_a_module(
    project: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "here", *(tmp_path / "here").rglob("*")):
        os.utime(path, (1e9, 1e9))
    first, walks = project(), []
    walk = source._walk
    monkeypatch.setattr(source, "_walk", lambda start: walks.append(start) or walk(start))
    assert [project() for _ in range(3)] == [first] * 3
    assert walks == []
    (tmp_path / "here" / "numpy.py").write_text("")
    assert project() != first
    assert len(walks) == 1
