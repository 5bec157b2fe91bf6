"""Small pieces of statements that several modules need."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    SQLColumnExpression,
    any_,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board.models import Job
from simcelery.quantities import spans

# Foreign keys are checked by statements whose plans a connection keeps: they are made anew under these.
_SETTINGS = """
SET LOCAL enable_seqscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL plan_cache_mode = force_custom_plan
"""


def among(
    column: SQLColumnExpression[int] | SQLColumnExpression[int | None], ids: Iterable[int]
) -> ColumnElement[bool]:
    """``column = ANY(ids)``: one array parameter, since a statement takes at most 65,535 parameters."""
    wanted: Any = literal(list(ids), ARRAY(BigInteger))
    return column == any_(wanted)


def within(column: SQLColumnExpression[int], ids: Sequence[int]) -> ColumnElement[bool]:
    """The same for ids that people choose: mostly ranges, and a million ids are then sent as two numbers."""
    if len(ids) < _MANY:
        return among(column, ids)
    ranges = list(islice(spans(sorted(set(ids))), _RANGES + 1))
    return or_(*(column.between(*ends) for ends in ranges)) if len(ranges) <= _RANGES else among(column, ids)


_MANY = 1000  # ids from which on it pays to look for ranges
_RANGES = 10


def seconds(number: float | ColumnElement[float]) -> ColumnElement[dt.timedelta]:
    """An interval of so many seconds."""
    return func.make_interval(0, 0, 0, 0, 0, 0, number)


def locked(ids: Select[Any], *, skip: bool = False) -> Select[Any]:
    """The ids of jobs, with their rows locked in ascending order; `skip` leaves out rows that others hold.

    A CTE: Postgres may run a plain subquery once per row, and its LIMIT would then have no effect.
    """
    chosen = ids.order_by(Job.id).with_for_update(of=Job, skip_locked=skip).cte("chosen")
    return select(chosen.c.id)


def by_index(connection: Connection) -> None:
    """Until the end of the transaction, read no table as a whole, whatever Postgres estimates.

    A job with very many dependents misleads the estimates: if few parents have all the dependencies, each
    job is expected to have very many dependents, so that reading the table from its beginning would soon
    find one; but for a job that has none the whole table is read. So whatever follows the dependencies of
    many jobs allows nothing else in its transaction, and fixes the order of its joins itself (with LATERAL,
    and OFFSET 0, which stops Postgres from reordering).
    """
    connection.exec_driver_sql(_SETTINGS)
