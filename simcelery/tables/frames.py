"""A table as a `pandas.DataFrame`, whose columns hold what the jobs have: no number is rounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from simcelery.errors import UsageError
from simcelery.tables.gathering import Column
from simcelery.tables.kinds import BOOLEAN, INT64, INTEGER, NUMBER, TEXT, TIME, Kind, within

# With and without null: pandas would make floats of whole numbers, and lose some of their digits.
_TYPES = {BOOLEAN: ("boolean", "bool"), INTEGER: ("Int64", "int64"), INT64: ("Int64", "int64")}


def check() -> None:
    """Refuse where there is no pandas.

    Raises:
        UsageError: it is not installed.
    """
    _pandas()


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UsageError("pandas is not installed here: pip install 'simcelery[pandas]'") from None
    return pandas


def frame(columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> Any:
    """A `pandas.DataFrame` with these columns. Lists, dictionaries and mixed values stay what they are.

    Raises:
        UsageError: pandas is not installed.
    """
    pandas = _pandas()
    values: dict[str, list[Any]] = {column.title: [] for column in columns}
    for row in rows:
        for column in columns:
            values[column.title].append(row.get(column.name))
    made = {column.title: _series(pandas, values[column.title], column.kind) for column in columns}
    return pandas.DataFrame(made)


def _series(pandas: Any, values: list[Any], kind: Kind) -> Any:
    if kind == TIME:
        return pandas.Series(pandas.to_datetime(values, utc=True, format="ISO8601"))
    if kind in _TYPES:
        return pandas.Series(values, dtype=_TYPES[kind][None not in values])
    if kind == NUMBER:
        return pandas.Series([within(value, kind) for value in values], dtype="float64")
    return pandas.Series(values) if kind == TEXT else pandas.Series(values, dtype="object")
