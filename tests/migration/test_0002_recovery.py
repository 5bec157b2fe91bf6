"""From 0001 to the newest revision, with rows on the board."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from simcelery.board import engine, migrate
from simcelery.board.models import Base
from simcelery.board.schema import REVISION
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings, get_settings

ROWS = """
INSERT INTO workers (nodename, host, pid, queues, concurrency, version, started_at, lease_expires_at)
VALUES ('w@a', 'a', 1, '{default}', 2, '0', now() - interval '1 day', now() - interval '1 h');
INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,
    submitted_by, worker_id, pid, claim_id, attempt, started_at, finished_at)
SELECT gen_random_uuid(), 'w', '{"n": 1}', state, 'default', 4, 1, 5, 'me', 1, 1, gen_random_uuid(), 1, now(),
    CASE WHEN state <> 'running' THEN now() END
FROM unnest('{running, succeeded, failed}'::text[]) state;
"""
COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = 'jobs'::regclass AND attnum > 0 "
    "AND attname <> 'checkpoint'"  # which no version ever wrote, and 0022 drops
)


@pytest.fixture
def database(servers: Services) -> Iterator[Callable[[str], Settings]]:
    """Makes empty databases."""
    names = []

    def make(name: str) -> Settings:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        names.append(name)
        url = servers.database_url.rpartition("/")[0] + f"/{name}"
        return replace(get_settings(), database_url=Secret(url))

    yield make
    engine.dispose()
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def query(settings: Settings, statement: str) -> list[Any]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def schema(settings: Settings, ours: bool = False) -> dict[str, list[Any]]:
    """Everything that a schema consists of; `ours`: without the tables of Celery and Alembic."""
    known = ", ".join(f"'{name}'" for name in Base.metadata.tables)
    mine = f"relname IN ({known})" if ours else "relname IS NOT NULL"
    tables = f"""(SELECT c.oid, relname FROM pg_class c WHERE relkind = 'r' AND {mine}
        AND relnamespace = 'public'::regnamespace) t"""
    return {
        "columns": query(
            settings,
            f"""SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
                pg_get_expr(adbin, adrelid) FROM {tables} JOIN pg_attribute ON attrelid = t.oid AND attnum > 0
                AND NOT attisdropped
                LEFT JOIN pg_attrdef ON adrelid = t.oid AND adnum = attnum ORDER BY 1, 2""",
        ),
        "indexes": query(
            settings,
            f"SELECT pg_get_indexdef(indexrelid) FROM {tables} JOIN pg_index ON indrelid = t.oid ORDER BY 1",
        ),
        "constraints": query(
            settings,
            f"""SELECT relname, conname, replace(pg_get_constraintdef(pg_constraint.oid), ' NOT VALID', '')
                FROM {tables} JOIN pg_constraint ON conrelid = t.oid ORDER BY 1, 2""",
        ),
    }


def test_a_board_with_rows_becomes_what_a_fresh_one_is(database: Callable[[str], Settings]) -> None:
    old, fresh = database("old_board"), database("fresh_board")
    assert migrate.upgrade(old, "0001") == (None, "0001")
    query(old, ROWS)
    columns = ", ".join(name for (name,) in query(old, COLUMNS))
    before = query(old, f"SELECT {columns} FROM jobs ORDER BY id")
    assert migrate.upgrade(old) == ("0001", REVISION)
    migrate.upgrade(fresh)
    assert schema(old) == schema(fresh)
    assert query(old, f"SELECT {columns} FROM jobs ORDER BY id") == before
    assert query(old, "SELECT identity, workflows, quarantined_at, succeeded FROM workers") == [
        ("", [], None, {})
    ]
    # Nobody has seen this worker renew yet, so it may not judge for a lease.
    assert query(old, "SELECT steady_since > now() - interval '1 min' FROM workers") == [(True,)]


def test_the_migrated_schema_is_that_of_the_models(database: Callable[[str], Settings]) -> None:
    migrated, modelled = database("migrated_board"), database("modelled_board")
    migrate.upgrade(migrated)
    with engine.engine(modelled).begin() as connection:
        Base.metadata.create_all(connection)
    assert schema(migrated, ours=True) == schema(modelled, ours=True)


def test_the_index_for_prune_holds_the_finished_jobs_only(database: Callable[[str], Settings]) -> None:
    board = database("old_board")
    migrate.upgrade(board, "0001")
    query(board, ROWS)
    migrate.upgrade(board)
    query(board, "ANALYZE jobs")
    assert query(board, "SELECT reltuples FROM pg_class WHERE relname = 'jobs_finished'") == [(2.0,)]
