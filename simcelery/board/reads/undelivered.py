"""Notifications that did not arrive."""

from __future__ import annotations

from dataclasses import dataclass

from simcelery.board import sql
from simcelery.board.sql import Reader


@dataclass(frozen=True)
class Undelivered:
    """One that could not be delivered so far, or has been given up."""

    subscription: int
    address: str
    event: str
    tries: int
    error: str | None
    given_up: bool


def undelivered(connection: Reader, most: int) -> list[Undelivered]:
    """Those that failed at least once and have not arrived, newest first; given up: only of the last day."""
    return [Undelivered(*row) for row in sql.execute(connection, "undelivered", most=most)]
