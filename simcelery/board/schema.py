"""The revision of the schema that this code needs, and the check that a board has it."""

from __future__ import annotations

from simcelery.board.faults import address, no_schema
from simcelery.board.sql import Reader
from simcelery.errors import SchemaError

REVISION = "0055"
ASK = "SELECT version_num FROM alembic_version"
_fit: set[str] = set()


def is_known_to_fit(url: str) -> bool:
    """Whether a process has found the schema to fit before."""
    return url in _fit


def check_schema(connection: Reader, url: str) -> None:
    """Refuse to work on a schema that this code does not fit. Once per board, in its first transaction.

    Raises:
        SchemaError: it is older or newer.
        psycopg.errors.UndefinedTable: there is none, so the table that names it is undefined.
    """
    if url not in _fit:
        check_revision(connection.exec_driver_sql(ASK).scalar(), url)


def check_revision(current: str | None, url: str) -> None:
    """The same, of a revision that was read."""
    if current is None:
        raise SchemaError(no_schema(url))
    if current < REVISION:
        raise SchemaError(
            f"the board at {address(url)} has schema {current}, older than {REVISION} of "
            "this simcelery: run 'simcelery db upgrade'"
        )
    if current > REVISION:
        raise SchemaError(
            f"the board at {address(url)} has schema {current}, newer than {REVISION} of "
            "this simcelery: upgrade simcelery here"
        )
    _fit.add(url)


def forget() -> None:
    """Check again whatever comes next."""
    _fit.clear()


def revision_of(connection: Reader) -> str | None:
    """The revision of the board's schema, or None where there is no schema."""
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    return str(connection.exec_driver_sql(ASK).scalar())
