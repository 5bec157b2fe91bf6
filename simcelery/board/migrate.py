"""Bring the schema up to date. The migrations are in `migrations`, inside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from simcelery.board import engine, roles, schema, sql
from simcelery.board.schema import REVISION
from simcelery.settings import Settings

# Two processes that upgrade at once (a fleet's containers do) take turns. A transaction-level lock:
# it works through PgBouncer.
_LOCK = 7_233_001


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our migrations, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.attributes["connection"] = connection
    return made


def upgrade(settings: Settings | None = None, revision: str = "head") -> tuple[str | None, str]:
    """Apply what is missing, all in one transaction, and install the functions as they are now.

    Returns:
        The revision before and the one after.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    made = engine.engine(settings)
    with engine.translated(made):
        with made.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            roles.act_as_owner(connection)
            before = schema.revision_of(connection)
            command.upgrade(config(connection), revision)
            sql.install(connection)
            roles.renew(connection)
            after = schema.revision_of(connection)
        schema.forget()
    return before, after or REVISION


def give_to_roles(settings: Settings | None = None, *, dry: bool = False) -> list[str]:
    """Make the roles of `roles`, and give each what it may do on this board; return the statements for that.

    Parameters:
        dry: execute none of them.

    Raises:
        NotPermittedError: who is logged in may not do that.
        SchemaError, BoardUnreachableError: as `engine.begin`.
    """
    with engine.begin(settings) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        wanted = roles.statements(connection)
        if not dry:
            roles.carry_out(connection, wanted)
    return wanted


def current(settings: Settings | None = None) -> str | None:
    """The schema's revision, or None.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    made = engine.engine(settings)
    with engine.translated(made), made.begin() as connection:
        return schema.revision_of(connection)
