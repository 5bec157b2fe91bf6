"""Fields of jobs by name, and conditions on them, as parameterised SQL.

A name is a column of the job itself, such as ``state``; otherwise a parameter, if the job has one of this
name; otherwise a field of its result. ``parameters.x`` and ``result.x`` say which is meant.
"""

from __future__ import annotations

import datetime as dt
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by

from simcelery.board.gates import is_held
from simcelery.board.models import Artifact, Attempt, Correction, Job, Revision, Worker
from simcelery.board.reads import plain_values, source_of
from simcelery.board.reads.filters import Clause
from simcelery.board.sql_helpers import clause, seconds_between
from simcelery.board.states import Outcome, State
from simcelery.conditions import values
from simcelery.conditions.values import All, Comparison, Condition, In, IsNull, Name, Not, Operand
from simcelery.errors import UsageError
from simcelery.quantities import LARGEST, parse_duration
from simcelery.readable import short

_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


Kind = Literal["boolean", "integer", "seconds", "text", "time", "value"]


@dataclass(frozen=True)
class Column:
    """A column of a job.

    Attributes:
        sql: its value.
        kind: what it holds; ``seconds`` may also be compared with a duration such as '2h', and a ``value`` is
            JSON, with fields of its own.
        nullable: whether it may be null.
    """

    sql: ColumnElement[Any]
    kind: Kind
    nullable: bool = True


def _worker() -> ColumnElement[Any]:
    """The nodename of the last worker; if that was pruned, its attempts still bear the name."""
    worker, attempt = Worker.__table__.alias().c, Attempt.__table__.alias().c
    there = select(worker.nodename).where(worker.id == Job.worker_id)
    noted = select(attempt.nodename).where(attempt.job_id == Job.id, attempt.attempt == Job.attempt)
    names = (part.correlate(Job).scalar_subquery() for part in (there, noted))
    return case((Job.worker_id.is_not(None), func.coalesce(*names)))


def _artifacts() -> ColumnElement[Any]:
    """The names of the files that a job has registered, as a list; null: there are none."""
    file, attempt = Artifact.__table__.alias().c, Attempt.__table__.alias().c
    counts = exists().where(
        attempt.job_id == Job.id,
        attempt.attempt == file.attempt,
        attempt.claim_id == file.claim_id,
        attempt.outcome == Outcome.SUCCEEDED,
    )
    names = func.jsonb_agg(aggregate_order_by(file.name, file.name), type_=JSONB)
    return select(names).where(file.job_id == Job.id, counts).correlate(Job).scalar_subquery()


def _corrections() -> ColumnElement[Any]:
    """How many corrections of a job's program there were since its parameters are these."""
    one, revision = Correction.__table__.alias().c, Revision.__table__.alias().c
    before = select(func.max(revision.last_attempt)).where(revision.job_id == Job.id).correlate(Job)
    counts = one.attempt > func.coalesce(before.scalar_subquery(), 0)
    return select(func.count(one.number)).where(one.job_id == Job.id, counts).correlate(Job).scalar_subquery()


_KINDS: tuple[tuple[Kind, bool, str], ...] = (
    ("integer", False, "id priority attempt failures losses max_attempts max_losses"),
    ("integer", True, "pid parent_id"),
    ("seconds", True, "time_limit time_request"),
    ("text", False, "workflow state queue submitted_by"),
    ("text", True, "error_type error_message idempotency_key"),
    ("time", False, "submitted_at"),
    ("time", True, "started_at finished_at run_at published_at cancel_requested_at"),
    ("value", True, "parameters result progress"),
)
_elapsed = seconds_between(Job.started_at, func.coalesce(Job.finished_at, func.now()))
COLUMNS: dict[str, Column] = {
    **{
        name: Column(getattr(Job, name), kind, null) for kind, null, names in _KINDS for name in names.split()
    },
    "task_id": Column(cast(Job.task_id, Text), "text", nullable=False),
    "tags": Column(func.to_jsonb(Job.tags, type_=JSONB), "value"),
    "artifacts": Column(_artifacts(), "value"),
    "worker": Column(_worker(), "text"),
    "error": Column(
        func.rtrim(Job.error_type + ": " + func.coalesce(Job.error_message, ""), ": ", type_=Text), "text"
    ),
    "elapsed": Column(_elapsed, "seconds"),
    "held": Column(is_held(), "boolean", nullable=False),
    "corrections": Column(_corrections(), "integer", nullable=False),
    "source": Column(source_of.of_job(), "text"),
}
"""What a job has besides its parameters and its result; `elapsed` are the seconds since it started."""


def stored(name: Name) -> ColumnElement[Any]:
    """What a name stands for, as the board stores it.

    Raises:
        UsageError: it goes on after a column that has no fields.
    """
    column = _column(name)
    if column and column.kind != "value":
        return column.sql
    return _in_its_place(name, column, lambda *place: plain_values.read(place, _field_of(*place)))


def _column(name: Name) -> Column | None:
    """The column that a name begins with."""
    column = COLUMNS.get(name.parts[0])
    if column and column.kind != "value" and len(name.parts) > 1:
        head = name.parts[0]
        raise UsageError(
            f"{short(name.text)}: {head} is a column that every job has, without fields; a parameter of this "
            f"name is parameters.{head}, and a field of the result is result.{head}"
        )
    return column


def _value(name: Name) -> ColumnElement[Any]:
    """What a name stands for, as JSON."""
    column = _column(name)
    if column and column.kind != "value":
        return func.to_jsonb(column.sql, type_=JSONB)
    return _in_its_place(name, column, _field_of)


def _in_its_place(
    name: Name, column: Column | None, of: Callable[[ColumnElement[Any], Sequence[str]], ColumnElement[Any]]
) -> ColumnElement[Any]:
    """What a function makes of the JSON that a name is in, and of the path that leads to it there."""
    if column:
        return of(column.sql, name.parts[1:])
    is_parameter = Job.parameters.op("?")(literal(name.parts[0], Text))
    return case((is_parameter, of(Job.parameters, name.parts)), else_=of(Job.result, name.parts))


def _field_of(source: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    return func.field_of(source, literal(list(path), ARRAY(Text)), type_=JSONB)


_latest: tuple[Condition, Clause] | None = None


def as_clause(condition: Condition) -> Clause:
    """The condition as SQL; see `compiled`.

    The latest one is kept: to read some jobs asks for it several times, and many terms take seconds.
    """
    global _latest
    known = _latest
    # The same object: conditions that are equal need not mean the same, since True == Decimal(1).
    if known is None or known[0] is not condition:
        known = _latest = (condition, clause(compiled(condition)))
    return known[1]


def compiled(condition: Condition) -> ColumnElement[bool]:
    """The condition as SQL that is true or false, never null.

    Raises:
        UsageError: a column of the job is compared with what it can never be.
    """
    match condition:
        case Comparison(left, sign, right):
            return _comparison(left, sign, right)
        case In(name, wanted):
            return _is_in(name, wanted)
        case IsNull(name):
            return _is_null(name)
        case Not(inner):
            return not_(compiled(inner))
        case All(parts):
            return and_(*map(compiled, parts))
        case values.Any(parts):
            return or_(*map(compiled, parts))


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _comparison(left: Operand, sign: str, right: Operand) -> ColumnElement[bool]:
    if not isinstance(left, Name):
        left, sign, right = right, _MIRRORED.get(sign, sign), left
    assert isinstance(left, Name)
    column = _column(left)
    if column is None or column.kind == "value":
        if not isinstance(right, Name):
            return _compared(left, column, sign, right)
        other = _value(right)
    elif isinstance(right, Name):
        that = _column(right)
        if that and column.kind == that.kind == "time":
            return _true_or_false(column, _OPERATORS[sign](column.sql, that.sql))
        other = _value(right)
    else:
        ours = _native(left.text, column, right)
        if ours is not None:
            kept = (
                column.sql.collate("C") if isinstance(ours, str) and sign not in ("=", "!=") else column.sql
            )
            return _true_or_false(column, _OPERATORS[sign](kept, ours))
        other = _json(_encoded(right))
    return _compares(_value(left), sign, other)


def _compared(name: Name, column: Column | None, sign: str, value: values.Literal) -> ColumnElement[bool]:
    """Compare a field of JSON with a literal."""
    other = _json(_encoded(value))

    def of(*place: Any) -> ColumnElement[bool]:
        return plain_values.compares(place, sign, value, _compares(_field_of(*place), sign, other))

    return _in_its_place(name, column, of)


def _compares(one: ColumnElement[Any], sign: str, other: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.field_compares(one, literal_column(f"'{sign}'"), other)


def _is_in(name: Name, wanted: Sequence[values.Literal]) -> ColumnElement[bool]:
    column = _column(name)
    if column and column.kind != "value":
        ours = [found for one in wanted if (found := _native(name.text, column, one)) is not None]
        return _true_or_false(column, column.sql.in_(ours))
    among = _json(f"[{', '.join(map(_encoded, wanted))}]")

    def of(*place: Any) -> ColumnElement[bool]:
        return plain_values.is_in(place, among, func.field_is_in(_field_of(*place), among))

    return _in_its_place(name, column, of)


def _is_null(name: Name) -> ColumnElement[bool]:
    column = _column(name)
    if column and column.kind != "value":
        return column.sql.is_(None)

    def of(*place: Any) -> ColumnElement[bool]:
        return plain_values.is_null(place, _field_of(*place).is_(None))

    return _in_its_place(name, column, of)


def _true_or_false(column: Column, found: ColumnElement[bool]) -> ColumnElement[bool]:
    # Only where needed: no index is used within coalesce.
    return func.coalesce(found, false()) if column.nullable else found


def _encoded(value: values.Literal) -> str:
    """A literal as JSON, with all its digits."""
    if not isinstance(value, Decimal):
        return json.dumps(value)
    if value.is_finite():
        return str(value)
    return json.dumps({"$float": "nan" if value.is_nan() else "inf" if value > 0 else "-inf"})


def _json(text: str) -> ColumnElement[Any]:
    return cast(literal(text, Text), JSONB)


def _native(name: str, column: Column, value: values.Literal) -> Any:
    """A literal as a value of the column's type; None: it is of another type, or not finite.

    Raises:
        UsageError: a text is no state, time or duration.
    """
    if isinstance(value, bool) or column.kind == "boolean":
        return value if isinstance(value, bool) and column.kind == "boolean" else None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        if column.kind == "integer":
            return int(value) if value == value.to_integral_value() and abs(value) <= LARGEST else value
        return float(value) if column.kind == "seconds" else None
    if column.kind == "text":
        if column is COLUMNS["state"] and value not in list(State):
            raise UsageError(f"there is no state {short(value)}; the states are: {', '.join(State)}")
        return value
    try:
        if column.kind == "time":
            return dt.datetime.fromisoformat(value).astimezone()
        return parse_duration(value) if column.kind == "seconds" else None
    except (ValueError, OverflowError):
        what = "time: write '2026-11-29 14:30'" if column.kind == "time" else "duration: write '1h30m'"
        raise UsageError(f"{name}: {short(value)} is not a {what}") from None
