"""Where the code of workflows comes from: real repositories, a git that hangs, and none at all."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery.workflows import origin

Make = Callable[..., Any]


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Imports a module of a project and gives what is known of the origin of its only workflow."""
    monkeypatch.delenv("LOADEDMODULES", raising=False)
    imported = []

    def made(folder: Path = tmp_path, name: str = "origin_of_this", text: str = "def run(): pass\n") -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        imported.append(name)
        sys.modules.pop(name, None)
        known = SimpleNamespace(name="w", source="s", function=importlib.import_module(name).run)
        return lambda: origin.collect([known])

    yield made
    for name in imported:
        sys.modules.pop(name, None)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    return git(folder, "rev-parse", "HEAD")


def tree_of(found: dict[str, Any]) -> Any:
    return found["trees"][found["workflows"]["w"]["tree"]]


def test_a_commit_and_whether_anything_differs_from_it(tmp_path: Path, define: Make) -> None:
    collect = define(tmp_path / "src")
    commit = committed(tmp_path)
    found = collect()
    assert found["workflows"]["w"] == {
        "package": "origin_of_this",
        "version": None,
        "source": "s",
        "tree": str(tmp_path.resolve()),
    }
    assert tree_of(found) == {"repository": None, "commit": commit, "dirty": False, "lock": None}
    (tmp_path / "notes.txt").touch()
    assert tree_of(collect())["dirty"] is False
    (tmp_path / "src" / "origin_of_this.py").write_text("def run(): return 1\n")
    assert tree_of(collect())["dirty"] is True


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:ghp_secret@example.org/group/sims.git?token=x", "https://example.org/group/sims.git"),
        ("https://ghp_secret@example.org:8443/sims.git", "https://example.org:8443/sims.git"),
        ("ssh://git@example.org/sims.git", "ssh://example.org/sims.git"),
        ("git@example.org:group/sims.git", "git@example.org:group/sims.git"),
        ("https://me:p@ss@example.org/@sims", "https://example.org/@sims"),
        ("../sims.git", "../sims.git"),
    ],
)
def test_the_repository_is_known_without_any_secret(
    url: str, expected: str, tmp_path: Path, define: Make
) -> None:
    collect = define(tmp_path)
    committed(tmp_path)
    git(tmp_path, "remote", "add", "origin", url)
    assert tree_of(collect())["repository"] == expected


def test_a_module_that_is_in_no_commit_is_not_of_that_commit(tmp_path: Path, define: Make) -> None:
    (tmp_path / "other.py").touch()
    commit = committed(tmp_path)
    (tmp_path / ".gitignore").write_text("*\n")
    collect = define()
    assert tree_of(collect()) == {"repository": None, "commit": commit, "dirty": True, "lock": None}


def test_a_repository_without_a_commit_and_no_repository_at_all(tmp_path: Path, define: Make) -> None:
    collect = define(tmp_path / "src")
    assert tree_of(collect()) == dict.fromkeys(("repository", "commit", "dirty", "lock"))
    git(tmp_path, "init", "-q")
    assert tree_of(collect())["commit"] is None


def test_variables_of_a_surrounding_git_do_not_lead_elsewhere(
    tmp_path: Path, define: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    committed(tmp_path / "elsewhere")
    collect = define(tmp_path / "mine")
    commit = committed(tmp_path / "mine")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
    assert tree_of(collect())["commit"] == commit


def test_the_nearest_lock_file_counts(tmp_path: Path, define: Make) -> None:
    collect = define(tmp_path / "a" / "b")
    (tmp_path / "uv.lock").write_text("locked")
    assert tree_of(collect())["lock"] is None  # two folders up, and no repository
    committed(tmp_path)
    assert tree_of(collect())["lock"] == {
        "file": str(tmp_path / "uv.lock"),
        "sha256": hashlib.sha256(b"locked").hexdigest(),
    }
    (tmp_path / "a" / "poetry.lock").write_text("nearer")
    assert tree_of(collect())["lock"]["file"] == str(tmp_path / "a" / "poetry.lock")


def test_what_is_installed_has_a_version_and_no_tree(tmp_path: Path, define: Make) -> None:
    collect = define(tmp_path / "site-packages", text="__version__ = '7.1'\ndef run(): pass\n")
    committed(tmp_path)
    assert collect()["workflows"]["w"] == {
        "package": "origin_of_this",
        "version": "7.1",
        "source": "s",
        "tree": None,
    }
    known = SimpleNamespace(name="w", source="", function=pytest.main)
    assert origin.collect([known])["workflows"]["w"]["version"] == pytest.__version__


def test_python_and_loaded_modules(define: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    collect = define()
    monkeypatch.setenv("LOADEDMODULES", "gcc/12.2:openmpi/4.1:\udcff")
    found = collect()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["modules"] == ["gcc/12.2", "openmpi/4.1", "?"]
    assert found == collect()


def test_a_git_that_hangs_is_killed_and_nothing_waits_for_it(
    tmp_path: Path, define: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\ntrap '' TERM\nsleep 600 & wait\n")
    (programs / "git").chmod(0o755)
    collect = define(tmp_path / "src")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(origin, "_LONGEST", 0.5)
    began = time.monotonic()
    assert tree_of(collect()) == dict.fromkeys(("repository", "commit", "dirty", "lock"))
    assert time.monotonic() - began < 20
    [group] = (tmp_path / "pids").read_text().split()
    alive = subprocess.run(["pgrep", "-g", group, "-r", "S,R"], capture_output=True, text=True, check=False)
    assert alive.stdout == ""


def test_without_git_all_else_is_known(tmp_path: Path, define: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    collect = define(tmp_path / "src")
    (tmp_path / "src" / "requirements.txt").write_text("numpy==2")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    assert tree_of(collect())["lock"]["file"].endswith("/requirements.txt")


def test_an_odd_workflow_does_not_spoil_the_others(define: Make) -> None:
    odd = SimpleNamespace(name="odd", source="", function=SimpleNamespace())
    assert list(origin.collect([odd])["workflows"]) == []
