"""Connections and transactions. All faults of Postgres leave here as errors of simcelery."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from simcelery.board.schema import REVISION
from simcelery.errors import BoardUnreachableError, SchemaError, SettingsError, UsageError
from simcelery.settings import Settings, get_settings

STATEMENT_TIMEOUT = 60.0
# The server ends a statement after that; but one that is stopped ends nothing, and its sockets stay open.
LONGEST_SILENCE = STATEMENT_TIMEOUT + 15.0
# A connection that hears nothing is dead after about half a minute, not after two hours.
_KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_dumps = partial(json.dumps, allow_nan=False, separators=(",", ":"))


def engine(settings: Settings | None = None) -> Engine:
    """This process's engine for the board. A forked child gets one of its own.

    Raises:
        ServicesNotRunningError: no URL is set and the embedded servers are not running.
    """
    settings = settings or get_settings()
    key = (os.getpid(), settings.board_url(), settings.prepared_statements)
    if key not in _engines:
        _engines[key] = _create(*key)
    return _engines[key]


_engines: dict[tuple[int, str, bool], Engine] = {}


def _create(pid: int, url: str, prepared_statements: bool) -> Engine:
    # Behind PgBouncer in transaction mode two transactions may meet different server connections, so
    # nothing is prepared on one and everything that is set is set within a transaction.
    try:
        made = create_engine(
            url,
            pool_size=1,
            max_overflow=9,
            pool_timeout=30,
            pool_pre_ping=True,  # an idle client outlives a restart of Postgres
            json_serializer=_dumps,
            connect_args={
                **_KEEPALIVES,
                "prepare_threshold": 5 if prepared_statements else None,
                "application_name": f"simcelery {pid}",
            },
        )
    except exc.ArgumentError:
        raise SettingsError(
            "database_url is not a URL: write postgresql://user:password@host:5432/name"
        ) from None
    event.listen(made, "begin", _set_timeouts)
    event.listen(made, "do_connect", _connect)
    return made


class _BoundedConnection(psycopg.Connection[Any]):
    """Does not wait for an answer for ever."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As its parent's, with a time limit where none is given."""
        try:
            return super().wait(gen, interval, LONGEST_SILENCE if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {LONGEST_SILENCE:g} s") from None


def _connect(dialect: Any, record: Any, arguments: Any, keywords: Any) -> Any:
    return _BoundedConnection.connect(*arguments, **keywords)


def _set_timeouts(connection: Connection) -> None:
    milliseconds = int(STATEMENT_TIMEOUT * 1000)
    connection.exec_driver_sql(
        f"SET LOCAL statement_timeout = {milliseconds}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
    )


def dispose() -> None:
    """Close this process's idle connections to the board."""
    while _engines:
        (pid, _, _), made = _engines.popitem()
        made.dispose(close=pid == os.getpid())  # a parent's connections are not ours to close
    check_schema.cache_clear()


@contextmanager
def begin(settings: Settings | None = None) -> Iterator[Connection]:
    """A transaction on the board: committed at the end of the block, rolled back by an exception.

    Raises:
        BoardUnreachableError: Postgres cannot be reached or went away; nothing is known to be committed.
        SchemaError: the schema is missing, older or newer than this code.
    """
    made = engine(settings)
    interrupted: BaseException | None = None
    with translated(made):
        check_schema(made)
        try:
            with made.begin() as connection:
                try:
                    yield connection
                except BaseException as error:
                    interrupted = error
                    raise
        except exc.DBAPIError:
            # A time limit that strikes in the middle of a statement also breaks the rollback after it:
            # what is to be reported is the time limit.
            if interrupted is None or isinstance(interrupted, exc.DBAPIError):
                raise
            raise interrupted from None


@contextmanager
def translated(made: Engine) -> Iterator[None]:
    """Turn faults of Postgres into errors of simcelery."""
    try:
        yield
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise SchemaError(_no_schema(made)) from error
        if is_unreachable(error):
            raise BoardUnreachableError(unreachable(made, error)) from error
        if isinstance(error.orig, psycopg.DataError):
            raise UsageError(f"the board cannot store this: {str(error.orig).splitlines()[0]}") from error
        raise
    except psycopg.DataError as error:  # COPY bypasses SQLAlchemy
        raise UsageError(f"the board cannot store this: {str(error).splitlines()[0]}") from error
    except psycopg.OperationalError as error:
        raise BoardUnreachableError(_unreachable(made, error)) from error
    except exc.TimeoutError as error:
        raise BoardUnreachableError(f"no connection to the board at {address(made.url)} is free") from error


# Classes of SQLSTATE that pass: connection, transaction state (a standby is read-only), deadlock, resources,
# locks, operator (shutdown, time-out), I/O, internal errors.
_PASSING = ("08", "25", "40", "53", "55", "57", "58", "XX")


def is_unreachable(error: exc.DBAPIError) -> bool:
    """Whether Postgres could not answer now, as against refused what it was asked."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PASSING)
    return error.connection_invalidated or isinstance(
        error.orig, psycopg.OperationalError | psycopg.InterfaceError
    )


def unreachable(made: Engine, error: exc.DBAPIError) -> str:
    """One line about a board that does not answer."""
    return _unreachable(made, error.orig or error)


def _unreachable(made: Engine, error: BaseException) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = re.sub(r"^.*(FATAL|failed): *", "", reason)
    return (
        f"the board at {address(made.url)} cannot be reached: {reason}; start it (simcelery up) or correct "
        "SIMCELERY_DATABASE_URL"
    )


def address(url: Any) -> str:
    """``host:port/name`` of a URL: enough to recognise it, nothing secret."""
    url = make_url(url)
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


@lru_cache(maxsize=4)
def check_schema(made: Engine) -> None:
    """Refuse to work on a schema that this code does not fit. Checked once per engine.

    Raises:
        SchemaError: it is missing, older or newer.
    """
    current = current_revision(made)
    if current is None:
        raise SchemaError(_no_schema(made))
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


def _no_schema(made: Engine) -> str:
    return f"the board at {address(made.url)} has no schema yet: run 'simcelery db upgrade'"


def session() -> Session:
    """An ORM session on the board's engine, for Celery's stock result tables only.

    Raises:
        SchemaError: the schema is missing, older or newer than this code.
    """
    made = engine()
    with translated(made):
        check_schema(made)
    return Session(made)
