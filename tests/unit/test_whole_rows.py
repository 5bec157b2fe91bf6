"""Statements that read whole rows name every column, in the order of the models: JSON shows them so."""

from __future__ import annotations

import re

import pytest

from simcelery.board import sql
from simcelery.board.models import Attempt, Base, Worker


@pytest.mark.parametrize(
    ("name", "table"), [("attempts_of", Attempt), ("last_attempts", Attempt), ("workers", Worker)]
)
def test_every_column_is_read(name: str, table: type[Base]) -> None:
    listed = re.split(r"\n  [A-Ze]|\nFROM", sql.statement(name))[0]
    assert re.findall(rf"\b{table.__tablename__}\.(\w+),?", listed) == list(table.__table__.columns.keys())
