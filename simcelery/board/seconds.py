"""Durations in statements."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ColumnElement, func


def seconds(number: float | ColumnElement[float]) -> ColumnElement[dt.timedelta]:
    """An interval of so many seconds."""
    return func.make_interval(0, 0, 0, 0, 0, 0, number)
