"""Ask the board without SQLAlchemy, whose import takes longer than all else that a short command does.

A process that works with the board uses `engine`, and there everything is possible; this is for commands that
look and end, and for clients that submit plain jobs and wait for them. Statements are of the same functions
(`sql.Reader`), connections are made in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from simcelery.board import connecting, faults, lending, schema
from simcelery.settings import get_settings

# A transaction's first message; its last answer is the revision of the schema.
_THEN = f"{connecting.SETTINGS}; {schema.ASK}"
_TO_READ, _TO_WRITE = f"BEGIN READ ONLY; {_THEN}", f"BEGIN; {_THEN}"


class Rows(list[Any]):
    """The rows of a statement, each with its columns as attributes."""

    def all(self) -> list[Any]:
        """All of them."""
        return self

    def scalar(self) -> Any:
        """The first column of the first; None: there is none."""
        return self[0][0] if self else None


class Asking:
    """A transaction, most often one that only reads; what it returns has methods of SQLAlchemy's results."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self.driver = driver

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> Rows:
        """The rows of a statement, whose parameters are written as ``%(name)s``."""
        cursor = self.driver.cursor(row_factory=namedtuple_row)
        return Rows(cursor.execute(statement, parameters or {}).fetchall())


@contextmanager
def begin() -> Iterator[Asking]:
    """A transaction that only reads.

    Raises:
        BoardUnreachableError: Postgres could not be reached or went away.
        SchemaError: the schema is missing, older or newer than this code.
    """
    with _transaction(_TO_READ) as begun:
        yield begun


@contextmanager
def to_write() -> Iterator[Asking]:
    """A transaction that writes: committed at the end of the block.

    Raises:
        As `begin`; of a commit that is uncertain, too.
    """
    with _transaction(_TO_WRITE) as begun:
        yield begun


@contextmanager
def _transaction(opening: str) -> Iterator[Asking]:
    url = get_settings().board_url()
    with faults.translated(url), lending.lent(url) as driver:
        schema.check_revision(_opened(driver, opening), url)
        yield Asking(driver)
        driver.execute("COMMIT")


def _opened(driver: psycopg.Connection[Any], opening: str) -> str | None:
    answer = driver.execute(opening.encode())
    while answer.nextset():
        pass
    row = answer.fetchone()
    return row and row[0]
