"""Servers that the tests here may kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from simcelery.settings import Settings
from tests.conftest import Project
from tests.servers import own_project, own_servers


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Servers that the tests of a module may kill; the next test finds them up again."""
    with own_servers(tmp_path_factory.mktemp("mortal")) as settings:
        yield settings


@pytest.fixture
def own(mortal: Settings, tmp_path: Path) -> Iterator[tuple[Settings, Project]]:
    """Those servers, with an empty board, and a project on them. `simcelery` in this process means others."""
    with own_project(mortal, tmp_path / "project") as project:
        yield mortal, project
