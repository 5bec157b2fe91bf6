"""The revision of the schema that this code needs, and the check that a board has it."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, Engine, text

from simcelery.board.faults import address, no_schema
from simcelery.errors import SchemaError

REVISION = "0024"


@lru_cache(maxsize=4)
def check_schema(made: Engine) -> None:
    """Refuse to work on a schema that this code does not fit. Checked once per engine.

    Raises:
        SchemaError: it is missing, older or newer.
    """
    current = current_revision(made)
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


def current_revision(made: Engine) -> str | None:
    """The revision of the board's schema, or None where there is no schema."""
    with made.begin() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The same on an open connection."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
