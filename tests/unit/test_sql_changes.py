"""The changes that `make mutants` makes to the statements: each of them still finds its text."""

from __future__ import annotations

import pytest

from tests.sql_changes import CHANGES, Change


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: f"{one.file}: {one.breaks}")
def test_a_change_finds_what_it_replaces(change: Change) -> None:
    assert change.old in change.path.read_text()
    assert change.old != change.new
