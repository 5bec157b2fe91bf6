"""Folders that several processes may make at the same moment."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
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
    elsewhere = "somewhere else, or by a quota: where its own folder is, "
    for error, text, where in ((full, "", ""), (wrapped, "", ""), (ValueError(), printed, elsewhere)):
        said = places.ran_out(error, text, tmp_path / "not there")
        assert said is not None
        assert re.fullmatch(where + r"file system /\S*: [0-9.]+ \w+ of [0-9.]+ \w+ free", said), said
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_file_system_that_a_program_names_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "full", lambda found: [str(one) for one in found] == ["/dev"])
    for words in (
        "dd: error writing '/dev/missing/x': No space left on device",
        "OSError: [Errno 28] No space left on device: '/dev/missing'",
        "fine: '/proc'\ncp: cannot create '/proc/x' from \"/dev/y\": Disk quota exceeded",
    ):
        assert (places.ran_out(ValueError(), words, "/proc") or "").startswith("file system /dev: ")


def test_whose_files_fill_a_file_system_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data").write_bytes(bytes(1 << 20))
    own = places._taken(str(tmp_path))
    assert 1 << 20 <= own < 2 << 20
    statvfs = os.statvfs(tmp_path)
    for used, said in ((own, "its own files take 1.0 MiB of that"), (2 * own, None)):
        room = SimpleNamespace(f_frsize=1, f_blocks=used + 7, f_bfree=7)
        monkeypatch.setattr(os, "statvfs", lambda place, room=room: room)
        assert places.filled_by(tmp_path) == said
    monkeypatch.setattr(os, "statvfs", lambda place: statvfs)
    assert places.filled_by(tmp_path / "missing") is None
