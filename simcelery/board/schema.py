"""The revision of the schema that this code needs, and the check that a board has it."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from simcelery.board.faults import address, no_schema
from simcelery.errors import SchemaError

REVISION = "0027"
_ASK = text("SELECT version_num FROM alembic_version")
_fit: set[Engine] = set()


def check_schema(connection: Connection) -> None:
    """Refuse to work on a schema that this code does not fit. Once per engine, in its first transaction.

    Raises:
        SchemaError: it is older or newer.
        sqlalchemy.exc.ProgrammingError: there is none, so the table that names it is undefined.
    """
    made = connection.engine
    if made in _fit:
        return
    current = connection.scalar(_ASK)
    if current is None:
        raise SchemaError(no_schema(made))
    if current < REVISION:
        raise SchemaError(
            f"the board at {address(made.url)} has schema {current}, older than {REVISION} of "
            "this simcelery: run 'simcelery db upgrade'"
        )
    if current > REVISION:
        raise SchemaError(
            f"the board at {address(made.url)} has schema {current}, newer than {REVISION} of "
            "this simcelery: upgrade simcelery here"
        )
    _fit.add(made)


def check_before(made: Engine) -> None:
    """The same in a transaction of its own, for what is not one."""
    if made not in _fit:
        with made.begin() as connection:
            check_schema(connection)


def forget() -> None:
    """Check again whatever comes next."""
    _fit.clear()


def current_revision(made: Engine) -> str | None:
    """The revision of the board's schema, or None where there is no schema."""
    with made.begin() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The same on an open connection."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return str(connection.scalar(_ASK))
