"""Folders that several processes may make at the same moment."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcelery.execution import places
from simcelery.services.place import ensure_home


def make(folder: Path) -> None:
    assert places.trouble([folder], mode=0o750) is None


@pytest.mark.parametrize(("made_by", "permissions"), [(make, 0o750), (ensure_home, None)])
@pytest.mark.parametrize("which", ["folder", "parent"])
def test_another_process_may_make_the_folder_at_the_same_moment(
    made_by: Callable[[Path], None],
    permissions: int | None,
    which: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "scratch" / "workdirs"
    contested = folder if which == "folder" else folder.parent
    mkdir = os.mkdir

    def second(path: Any, *rest: Any) -> None:
        if os.path.isdir(contested.parent) and Path(path) == contested and not contested.exists():
            mkdir(path)
        mkdir(path, *rest)

    monkeypatch.setattr(os, "mkdir", second)
    made_by(folder)
    assert os.access(folder, os.W_OK)
    if permissions:
        assert folder.stat().st_mode & 0o777 == permissions


def test_a_file_that_cannot_grow_names_its_file_system_and_what_is_free_there(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "data"))
    wrapped = RuntimeError("the solver failed")
    wrapped.__cause__ = full
    printed = "exit code 2: cp: error writing 'x': No space left on device"
    for error, text in ((full, ""), (wrapped, ""), (ValueError(), printed)):
        said = places.ran_out(error, text, tmp_path / "not there")
        assert said is not None
        assert re.fullmatch(r"file system /\S*: [0-9.]+ \w+ of [0-9.]+ \w+ free", said), said
    assert places.ran_out(ValueError("3"), "3", tmp_path) is None
    circle = ValueError()
    circle.__context__ = other = KeyError()
    other.__context__ = circle
    assert places.ran_out(circle, "", tmp_path) is None


def test_a_limit_on_files_is_named(tmp_path: Path) -> None:
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "from simcelery.execution import places\n"
        "try:\n    with open('data', 'wb', 0) as file:\n        while file.write(bytes(4096)): pass\n"
        "except OSError as error:\n    print(places.ran_out(error, str(error), '.'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "no file may be larger than 2.0 KiB here: ulimit -f\n", done.stderr
