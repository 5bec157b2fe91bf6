"""Repair rows that violate the CHECK constraints, written by other programs or before there were constraints.

Such a row refuses every change, and with it the whole statement: the claim of a slice, a round of
recovery.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import text

from simcelery.board import engine
from simcelery.errors import NotPermittedError, RefusedByBoardError

log = logging.getLogger(__name__)

T = TypeVar("T")
_NAMED = 3  # rows that one line names
_AGAIN = 60.0  # seconds until it is tried again after it found nothing: it reads the whole board
_not_before = float("-inf")


def mend() -> list[str]:
    """Put right every row that breaks a CHECK, and fail the jobs of which it is unknown what is to run.

    Returns:
        What was done, a row each.

    Raises:
        As `engine.begin`.
    """
    with engine.begin() as connection:
        return list(connection.scalars(text("SELECT mend_rows()")))


def despite_bad_rows(act: Callable[[], T]) -> T:
    """Do something that rows may be in the way of; they are put right then, and it is done again.

    Raises:
        RefusedByBoardError: rows were not what was in the way.
    """
    global _not_before
    try:
        return act()
    except RefusedByBoardError as refused:
        if time.monotonic() < _not_before:
            raise
        try:
            mended = mend()
        except NotPermittedError:  # a worker does it
            raise refused from None
    if mended:
        more = f"; and {len(mended) - _NAMED:,} more" if len(mended) > _NAMED else ""
        log.warning("rows on the board could not be read: %s%s", "; ".join(mended[:_NAMED]), more)
    else:
        _not_before = time.monotonic() + _AGAIN
    return act()  # also where there was nothing to do: somebody else may just have done it
