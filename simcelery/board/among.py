"""One array parameter for any number of ids: a statement takes 65,535 parameters at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute


def among(
    column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None], ids: Iterable[int]
) -> ColumnElement[bool]:
    """``column = ANY(ids)``."""
    wanted: Any = literal(list(ids), ARRAY(BigInteger))
    return column == any_(wanted)
