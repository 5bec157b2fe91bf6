"""The revision of the schema that this code needs, and the check that a board has it."""

from __future__ import annotations

import time

from simcelery.board.faults import address, changed, found_to_fit, no_schema
from simcelery.board.sql import Reader
from simcelery.errors import SchemaError

REVISION = "0062"
ASK = "SELECT version_num FROM alembic_version"
# Seconds: somebody may upgrade the board under a process that lives long.
_AGAIN = 5.0
_looks_again = True


def look_no_more() -> None:
    """Let this process, and those it forks, not look again: a worker's lease does it for all of them."""
    global _looks_again
    _looks_again = False


def is_known_to_fit(url: str) -> bool:
    """Whether this process has found the schema to fit, and need not look again yet."""
    at = found_to_fit.get(url)
    return at is not None and (not _looks_again or time.monotonic() - at < _AGAIN)


def check_schema(connection: Reader, url: str) -> None:
    """Refuse to work on a schema that this code does not fit. At the first transaction, and now and then.

    Raises:
        SchemaError: it is older or newer.
        psycopg.errors.UndefinedTable: there is none, so the table that names it is undefined.
    """
    if not is_known_to_fit(url):
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
    found_to_fit[url] = time.monotonic()


def check_still(connection: Reader, url: str) -> None:
    """Refuse a schema that has fitted before, and does not any more.

    Raises:
        BoardChangedError: it does not.
    """
    if (current := connection.exec_driver_sql(ASK).scalar()) != REVISION:
        raise changed(url, f"it has {current}, not {REVISION}")


def forget() -> None:
    """Check again whatever comes next."""
    found_to_fit.clear()


def revision_of(connection: Reader) -> str | None:
    """The revision of the board's schema, or None where there is no schema."""
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    return str(connection.exec_driver_sql(ASK).scalar())
