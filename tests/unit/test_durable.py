"""Files and folders that have their names only once they are complete."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from simcelery.execution import durable


def test_two_at_a_time_and_what_was_killed_are_in_nobodys_way(tmp_path: Path) -> None:
    left = [tmp_path / f".{name}.{os.getpid()}.partial" for name in ("table", "folder")]
    left[0].write_text("half")
    left[1].mkdir()
    with ExitStack() as both:
        files = [both.enter_context(durable.complete(tmp_path / "table", lambda: None)) for _ in range(2)]
        for number, file in enumerate(files):
            file.write(b"whole %d" % number)
    assert (tmp_path / "table").read_bytes() == b"whole 0"  # the last one to be named
    with durable.complete_folder(tmp_path / "folder") as partial:
        (partial / "file").write_text("x")
    assert [one.name for one in (tmp_path / "folder").iterdir()] == ["file"]
    assert {one.name for one in tmp_path.iterdir()} == {"table", "folder", *(one.name for one in left)}


def make(folder: Path, content: str | None) -> None:
    with durable.complete_folder(folder) as partial:
        (partial / "file").write_text("x")
        (partial / "another").write_text(content)  # type: ignore[arg-type]


def test_a_folder_replaces_nothing_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    make(tmp_path / "folder", "first")
    with pytest.raises(TypeError):
        make(tmp_path / "other", None)
    with pytest.raises(OSError, match="not empty"):
        make(tmp_path / "folder", "second")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "another").read_text() == "first"
