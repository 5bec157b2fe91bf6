"""Connections and transactions."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import QueuePool

from simcelery.board import connecting, faults, lending, round_trips, schema
from simcelery.board.connecting import LONGEST_SILENCE as LONGEST_SILENCE
from simcelery.board.connecting import STATEMENT_TIMEOUT as STATEMENT_TIMEOUT
from simcelery.board.json_text import as_json as as_json
from simcelery.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def engine(settings: Settings | None = None) -> Engine:
    """This process's engine for the board. A forked child gets its own.

    Raises:
        ServicesNotRunningError: no URL is set and the embedded servers are not running.
    """
    settings = settings or get_settings()
    key = (os.getpid(), settings.board_url(), settings.prepared_statements)
    if key not in _engines:
        _engines[key] = _create(*key[1:])
        lending.hand_over(key[1], partial(_lent, _engines[key]))
    return _engines[key]


_engines: dict[tuple[int, str, bool], Engine] = {}
_used_at = 0.0  # when a connection of this process was last given back


def _create(url: str, prepared_statements: bool) -> Engine:
    made = create_engine(
        "postgresql+psycopg://",  # its kind only: `connect` takes the URL, which may have several hosts
        pool_size=1,
        max_overflow=lending.AT_ONCE - 1,
        pool_timeout=lending.LONGEST_WAIT,
        json_serializer=as_json,
        # It takes a LATERAL join for a cartesian product, and would warn whoever runs a command.
        enable_from_linting=False,
        use_native_hstore=False,  # nothing here is one, and to look for the type is a question more
    )
    _urls[made] = url

    def connect(dialect: Any, record: Any, arguments: Any, keywords: Any) -> Any:
        context = keywords.get("context")  # how SQLAlchemy has values written
        return connecting.connect(url, prepared_statements=prepared_statements, context=context)

    event.listen(made, "begin", _set_locally)
    event.listen(made, "do_connect", connect)
    event.listen(made, "checkin", _note_use)
    event.listen(made, "checkout", _ping_if_rested)
    return made


_urls: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def url_of(made: Engine) -> str:
    """The URL that an engine was made of."""
    return _urls[made]


@contextmanager
def translated(made: Engine) -> Iterator[None]:
    """Turn errors of Postgres into errors of simcelery."""
    url = url_of(made)
    with faults.translated(url):  # the driver's own: COPY and pipelines bypass SQLAlchemy
        try:
            yield
        except exc.DBAPIError as error:
            if found := faults.meaning(error.orig, url, broken=error.connection_invalidated):
                raise found from error
            raise
        except exc.TimeoutError as error:
            raise faults.all_in_use(url) from error


def _note_use(driver: Any, record: Any) -> None:
    global _used_at
    record.info["used_at"] = _used_at = time.monotonic()


def _ping_if_rested(driver: psycopg.Connection[Any], record: Any, proxy: Any) -> None:
    """An idle process must survive a restart of Postgres; a busy one should not pay for a ping each time."""
    if time.monotonic() - record.info.get("used_at", math.inf) < lending.REST:
        return
    try:
        driver.autocommit = True
        driver.execute("")
        driver.autocommit = False
    except psycopg.Error as error:
        raise exc.DisconnectionError from error  # the pool makes another connection


def _set_locally(connection: Connection) -> None:
    connection.exec_driver_sql(connecting.SETTINGS)


def limit(connection: Connection, longest: float) -> None:
    """Let the statements of a transaction end after this many seconds."""
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(longest * 1000)}")


_AS_OF_NOW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


def dispose() -> None:
    """Close this process's idle connections to the board."""
    while _engines:
        (pid, _, _), made = _engines.popitem()
        made.dispose(close=pid == os.getpid())  # a parent's connections are not ours to close
    lending.take_back()
    schema.forget()


def is_connected() -> bool:
    """Whether this process holds idle connections to the board."""
    return any(_idle(made) for made in _mine())


def release_rested(rest: float) -> None:
    """Close this process's idle connections if none has been used for `rest` seconds."""
    if time.monotonic() - _used_at > rest:
        for made in _mine():
            if _idle(made):
                made.dispose()  # what is in use is closed when it is given back


def _mine() -> list[Engine]:
    return [made for (pid, _, _), made in list(_engines.items()) if pid == os.getpid()]


def _idle(made: Engine) -> int:
    assert isinstance(made.pool, QueuePool)
    return made.pool.checkedin()


@contextmanager
def begin(settings: Settings | None = None, *, opening: str = "") -> Iterator[Connection]:
    """A transaction on the board: committed at the end of the block, rolled back by an exception.

    Parameters:
        opening: what has to come before any query, also before the one that looks at the schema.

    Raises:
        BoardUnreachableError: Postgres could not be reached or went away; a commit is uncertain.
        SchemaError: the schema is missing, older or newer than this code.
    """
    made = engine(settings)
    interrupted: BaseException | None = None
    with translated(made):
        try:
            with made.begin() as connection:
                if opening:
                    connection.exec_driver_sql(opening)
                schema.check_schema(connection, url_of(made))
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
def as_of_now() -> Iterator[Connection]:
    """A transaction that changes nothing, whose statements all see the board as it is at the first of them.

    Raises:
        As `begin`.
    """
    with begin(opening=_AS_OF_NOW) as connection:
        yield connection


@contextmanager
def look(longest: float) -> Iterator[Connection]:
    """A transaction that changes nothing, and sees the board as it is at its first statement.

    Each statement may take so many seconds, and uses a single process of Postgres: who only looks leaves the
    other cores to the jobs.

    Raises:
        As `begin`.
    """
    with begin(opening=f"{_AS_OF_NOW}; SET LOCAL max_parallel_workers_per_gather = 0") as connection:
        limit(connection, longest)
        yield connection


def one_round_trip(
    statement: str, values: Mapping[str, Any], *, durable: bool = True
) -> list[dict[str, Any]]:
    """As `round_trips.one_round_trip`, over a connection of the engine."""
    return in_one_message((statement, values), durable=durable)[0]


def in_one_message(
    *statements: tuple[str, Mapping[str, Any]], durable: bool = True
) -> list[list[dict[str, Any]]]:
    """As `round_trips.in_one_message`, over a connection of the engine."""
    engine()
    return round_trips.in_one_message(*statements, durable=durable)


@contextmanager
def _lent(made: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection for `lending`."""
    with translated(made):
        borrowed = made.raw_connection()
        try:
            driver: Any = borrowed.driver_connection
            driver.autocommit = True
            yield driver
            driver.autocommit = False
        except BaseException:
            borrowed.invalidate()  # what it was in the middle of, nobody knows
            raise
        finally:
            borrowed.close()


def _check_before(made: Engine) -> None:
    """Check the schema in a transaction of its own, for what is not one."""
    url = url_of(made)
    if not schema.is_known_to_fit(url):
        with made.begin() as connection:
            schema.check_schema(connection, url)


def check_still_fits() -> None:
    """Look at the schema again: what Postgres refuses may be right for another one.

    Raises:
        BoardChangedError: it is no longer what this code fits.
        BoardUnreachableError: Postgres could not be reached.
    """
    made = engine()
    with translated(made), made.begin() as connection:
        schema.check_still(connection, url_of(made))


def session() -> Session:
    """An ORM session on the board's engine, for Celery's stock result tables only.

    Raises:
        SchemaError: the schema is missing, older or newer than this code.
    """
    from sqlalchemy.orm import Session  # what nobody else needs takes long to import

    made = engine()
    with translated(made):
        _check_before(made)
    return Session(made)
