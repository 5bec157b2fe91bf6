"""Servers that outlive one run of the tests: `make mutants` runs them thousands of times.

Each run takes a number of its own, and so a database and a Redis of its own in them. Postgres takes the
number back when the run ends, however it ends. A run that was not killed leaves its database to the next one
that has the same statements.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

import simcelery
from simcelery import services, settings
from simcelery.board import engine, migrate
from simcelery.services import Services

HOME = "KEPT_SERVERS"
_TEMPLATE = "migrated"
_NUMBERS = range(1, 16)  # as many databases as Redis has, but for its first


@contextmanager
def kept(home: Path) -> Iterator[None]:
    """Start servers there, for all runs of the tests that this process starts; erase them at the end."""
    settings.override({"home": home})
    running = services.up(settings.get_settings())
    try:
        never_sync(running)
        _execute(running.database_url, f"CREATE DATABASE {_TEMPLATE}")
        settings.override({"database_url": _sibling(running.database_url, _TEMPLATE)})
        migrate.upgrade()
        engine.dispose()
        os.environ[HOME] = str(home)
        yield
    finally:
        os.environ.pop(HOME, None)
        services.erase(settings.get_settings())


@contextmanager
def taken(home: Path) -> Iterator[Services]:
    """A database and a Redis of this run's own in servers that somebody keeps."""
    settings.override({"home": home})
    running = services.up(settings.get_settings())
    with psycopg.connect(running.database_url, autocommit=True) as holder:
        number = next(number for number in _NUMBERS if _is_free(holder, number))
        name = f"run_{number}"
        database, broker = _sibling(running.database_url, name), _sibling(running.broker_url, str(number))
        settings.override({"database_url": database, "broker_url": broker})
        if not _is_left_by_a_run(holder, name):
            holder.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            holder.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
            migrate.upgrade()
        holder.execute(f"COMMENT ON DATABASE {name} IS 'in use, or its run was killed'")
        yield replace(running, database_url=database, broker_url=broker)
        holder.execute(f"COMMENT ON DATABASE {name} IS '{_statements()}'")


def never_sync(running: Services) -> None:
    """Spare its Postgres the waits for the disk: they are for machines that fail; tests kill processes."""
    _execute(running.database_url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")


def _is_left_by_a_run(holder: psycopg.Connection[tuple[Any]], name: str) -> bool:
    """Whether a run with the same statements has come to its end in this database."""
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    return holder.execute(comment, [name]).fetchone() == (_statements(),)


def _statements() -> str:
    """What tells the statements of one project from those of another."""
    files = sorted((Path(simcelery.__file__).parent / "board" / "sql").rglob("*.sql"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _is_free(holder: psycopg.Connection[tuple[Any]], number: int) -> bool:
    row = holder.execute("SELECT pg_try_advisory_lock(%s)", [number]).fetchone()
    return bool(row and row[0])


def _sibling(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return f"{url.rpartition('/')[0]}/{name}"


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
