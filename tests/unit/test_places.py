"""Folders that several processes may make at the same moment."""

from __future__ import annotations

import os
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
