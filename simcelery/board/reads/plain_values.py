"""Values that are stored as they are: read and compared by Postgres's own operators on JSON.

Nearly all values are: numbers, texts, true and false. The functions in `sql/functions` know every other form,
too, and take twenty times as long; a condition on a million jobs would take them half a minute. So they are
asked only where another form may lie: where an object is found, or nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from simcelery.conditions.values import Literal

# What says of an object that it stands for another value; see `field_of`.
_TAGS = (
    *("$dict", "$ordered", "$counter", "$defaultdict", "$ndarray", "$complex", "$bytes", "$tuple", "$set"),
    *("$frozenset", "$deque", "$range", "$bytearray", "$path", "$date", "$datetime", "$time", "$decimal"),
    *("$uuid", "$timedelta"),
)
# What such an object may have besides its tag: no fields of the value that it stands for.
_BESIDES = {"dtype", "shape", "maxlen", "zone", "fold", "of"}
_INDEX = re.compile("[0-9]{1,9}")

# Where a value lies: in a column, at the end of a path.
Place = tuple[ColumnElement[Any], Sequence[str]]


def read(place: Place, exact: ColumnElement[Any]) -> ColumnElement[Any]:
    """What lies there.

    Parameters:
        exact: the same, as the functions tell it.
    """
    source, path = place
    if not _is_of_fields(path):
        return exact
    plain = _kind(source, path).in_(["number", "string", "boolean"])
    return case((plain, source.op("#>", return_type=JSONB())(_array(path))), else_=exact)


def compares(place: Place, sign: str, value: Literal, exact: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether what lies there compares so with a literal.

    Parameters:
        exact: the same, as the functions tell it.
    """
    source, path = place
    if not _is_of_fields(path) or not _compares_alike(sign, value):
        return exact
    steps = "".join(f"[{part}]" if _INDEX.fullmatch(part) else f".{_quoted(part)}" for part in path)
    told = f"strict ${steps} {'==' if sign == '=' else sign} {_quoted(value)}"
    # Null: nothing lies there, or something of another kind.
    seen = source.bool_op("@@")(cast(literal(told, Text), JSONPATH))
    # To Postgres null differs from all other values; to us it does not compare.
    holds = _kind(source, path) != "null" if sign == "!=" else true()
    unseen = case((_may_have_a_form(source, path), exact), else_=false())
    return case((true(), holds), (false(), false()), value=seen, else_=unseen)


def is_in(place: Place, wanted: ColumnElement[Any], exact: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether what lies there is in a list."""
    source, path = place
    if not _is_of_fields(path):
        return exact
    found = wanted.bool_op("@>")(source.op("#>")(_array(path)))
    scalar = _kind(source, path).in_(["number", "string", "boolean"])
    return case((scalar, found), (_may_have_a_form(source, path), exact), else_=false())


def is_null(place: Place, exact: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether nothing lies there, or null."""
    source, path = place
    if not _is_of_fields(path):
        return exact
    plain = _kind(source, path).in_(["number", "string", "boolean", "array"])
    return case((plain, false()), (_may_have_a_form(source, path), exact), else_=true())


def _is_of_fields(path: Sequence[str]) -> bool:
    """Whether no step can be a tag, or what stands beside one."""
    return not any(part.startswith("$") or part in _BESIDES for part in path)


def _compares_alike(sign: str, value: Literal) -> bool:
    """Whether a JSON path compares with this literal as we do: it orders neither texts nor NaN so."""
    return value.is_finite() if isinstance(value, Decimal) else sign in ("=", "!=")


def _may_have_a_form(source: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
    """Whether on the path there may be an object that stands for another value."""
    return or_(_kind(source, path[:1]).in_(["object", "array"]), source.bool_op("?|")(_array(_TAGS)))


def _kind(source: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[str]:
    return func.jsonb_typeof(source.op("#>", return_type=JSONB())(_array(path)), type_=Text)


def _array(texts: Sequence[str]) -> ColumnElement[Any]:
    return literal(list(texts), ARRAY(Text))


def _quoted(value: Literal) -> str:
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
