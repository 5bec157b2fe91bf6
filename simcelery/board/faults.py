"""Turn errors of Postgres into errors of simcelery, each in one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, exc
from sqlalchemy.engine import make_url

from simcelery.errors import BoardUnreachableError, RefusedByBoardError, SchemaError, SettingsError


@contextmanager
def translated(made: Engine) -> Iterator[None]:
    """Turn errors of Postgres into errors of simcelery."""
    try:
        yield
    except (exc.DBAPIError, psycopg.Error) as error:
        # psycopg's own: COPY and pipelines bypass SQLAlchemy.
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise SchemaError(no_schema(made)) from error
        if isinstance(cause, psycopg.errors.UndefinedFunction):
            raise SchemaError(_incomplete(made, cause)) from error
        if is_unreachable(error):
            raise BoardUnreachableError(unreachable(made, error)) from error
        if isinstance(cause, psycopg.DataError | psycopg.errors.CheckViolation):
            reason = str(cause).splitlines()[0]
            raise RefusedByBoardError(f"the board cannot store this: {reason}") from error
        if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate is None:
            # The driver itself, before it connects: of what the URL says behind its question mark.
            raise SettingsError(f"database_url: {str(cause).splitlines()[0]}") from error
        raise
    except UnicodeEncodeError as error:
        raise RefusedByBoardError(
            "the board cannot store this: it holds bytes that are not UTF-8 text"
        ) from error
    except exc.TimeoutError as error:
        raise BoardUnreachableError(
            f"all connections of this process to the board at {address(made.url)} are in use"
        ) from error


# Classes of SQLSTATE that pass: connection, transaction state (a standby is read-only), deadlock, resources,
# locks, operator (shutdown, time-out), I/O, internal errors.
_PASSING = ("08", "25", "40", "53", "55", "57", "58", "XX")


def is_unreachable(error: exc.DBAPIError | psycopg.Error) -> bool:
    """Whether Postgres could not answer at the moment, rather than refused the statement."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PASSING)
    broken = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    return broken or isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


def unreachable(made: Engine, fault: exc.DBAPIError | psycopg.Error) -> str:
    """One line about a board that does not answer."""
    error = (isinstance(fault, exc.DBAPIError) and fault.orig) or fault
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = re.sub(r"^.*(FATAL|failed): *", "", reason)
    return (
        f"the board at {address(made.url)} cannot be reached: {reason}; start it (simcelery up) or correct "
        "SIMCELERY_DATABASE_URL"
    )


def address(url: Any) -> str:
    """``host:port/name`` of a URL: enough to recognise it, and nothing secret."""
    url = make_url(url)
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


def no_schema(made: Engine) -> str:
    """One line about a board without tables."""
    return f"the board at {address(made.url)} has no schema yet: run 'simcelery db upgrade'"


def _incomplete(made: Engine, cause: psycopg.Error) -> str:
    return (
        f"the board at {address(made.url)} is not complete ({str(cause).splitlines()[0]}): restore it with "
        "its functions, or put them on the search_path of its role"
    )
