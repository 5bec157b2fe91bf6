"""Small pieces of statements that several modules need."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Select,
    SQLColumnExpression,
    any_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from simcelery.board.models import Job
from simcelery.board.reads.filters import Clause

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


def expression(clause: Clause) -> ColumnElement[bool]:
    """A clause, for statements that are put together of expressions."""
    plain = re.sub(r"%\((\w+)\)s", r"(:\1)", clause.text).replace("%%", "%")
    values: list[BindParameter[Any]] = [
        bindparam(name, value, unique=True) for name, value in clause.values.items()
    ]
    # In parentheses it may stand wherever a condition may.
    return cast("ColumnElement[bool]", text(f"({plain})").bindparams(*values))


def clause(condition: ColumnElement[bool]) -> Clause:
    """A condition on jobs that is an expression, for statements that are text."""
    statement: Select[Any] = select(literal_column("1")).select_from(Job).where(condition)
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return Clause(f"({str(compiled).partition('WHERE ')[2]})", compiled.construct_params())


_DIALECT = cast(Any, PGDialect_psycopg)()


def seconds(number: float | ColumnElement[float]) -> ColumnElement[dt.timedelta]:
    """An interval of so many seconds."""
    return func.make_interval(0, 0, 0, 0, 0, 0, number)


def seconds_between(start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
    """How many seconds after one moment another is; the moments may be infinite."""
    return func.seconds_between(start, end, type_=Double)


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
