"""One array parameter for any number of ids: a statement takes 65,535 parameters at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, SQLColumnExpression, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY


def among(
    column: SQLColumnExpression[int] | SQLColumnExpression[int | None], ids: Iterable[int]
) -> ColumnElement[bool]:
    """``column = ANY(ids)``."""
    wanted: Any = literal(list(ids), ARRAY(BigInteger))
    return column == any_(wanted)
