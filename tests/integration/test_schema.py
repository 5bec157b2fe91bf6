"""The migrations, the models, the enums and the code agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from enum import StrEnum
from functools import partial

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from celery.backends.database.models import Task, TaskSet
from sqlalchemy import Connection, event, text

from simcelery.board import engine, migrate, schema
from simcelery.board.models import Base
from simcelery.board.schema import REVISION
from simcelery.board.states import Cause, Outcome, State
from simcelery.errors import BoardChangedError, BoardUnreachableError, SchemaError, UsageError
from simcelery.services import Services
from simcelery.setting_kinds import Secret
from simcelery.settings import Settings, get_settings

pytestmark = pytest.mark.usefixtures("servers")


@pytest.fixture
def empty_database(servers: Services) -> Iterator[Settings]:
    """A database without any schema."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
        connection.execute("CREATE DATABASE fresh")
    url = servers.database_url.rpartition("/")[0] + "/fresh"
    yield replace(get_settings(), database_url=Secret(url))
    engine.dispose()


def test_models_and_migrations_describe_the_same_tables() -> None:
    stock = {Task.__tablename__, TaskSet.__tablename__}
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, parents: kind != "table" or name not in stock,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def test_stock_tables_are_as_celery_declares_them() -> None:
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, parents: kind != "table" or name.startswith("celery_")},
        )
        assert compare_metadata(context, Task.metadata) == []


@pytest.mark.parametrize(
    ("constraint", "enum"),
    [("jobs_state_known", State), ("attempts_outcome_known", Outcome), ("attempts_cause_known", Cause)],
)
def test_enums_are_synced_with_the_checks(constraint: str, enum: type[StrEnum]) -> None:
    with engine.begin() as connection:
        definition = connection.scalar(
            text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name"),
            {"name": constraint},
        )
    assert set(str(definition).split("'")[1::2]) == {str(value) for value in enum}


def test_the_code_knows_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(migrate.config()).get_current_head() == REVISION


def test_an_empty_database_is_refused_until_it_is_upgraded(empty_database: Settings) -> None:
    with (
        pytest.raises(SchemaError, match="has no schema yet: run 'simcelery db upgrade'"),
        engine.begin(empty_database),
    ):
        pass
    assert migrate.upgrade(empty_database) == (None, REVISION)
    assert migrate.upgrade(empty_database) == (REVISION, REVISION)
    with engine.begin(empty_database) as connection:
        assert connection.scalar(text("SELECT count(*) FROM jobs")) == 0


def test_the_schema_is_looked_at_in_the_first_transaction_alone() -> None:
    engine.dispose()
    begun: list[Connection] = []
    asked: list[str] = []
    made = engine.engine()
    event.listen(made, "begin", begun.append)
    event.listen(made, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for _ in range(3):
        with engine.begin():
            pass
    assert len(begun) == 3
    assert [statement for statement in asked if "SET " not in statement] == [
        "SELECT version_num FROM alembic_version"
    ]
    engine.dispose()


@pytest.mark.parametrize("transaction", [engine.as_of_now, partial(engine.look, 5)], ids=["all", "look"])
def test_who_only_looks_does_so_although_the_schema_has_to_be_looked_at_again(
    transaction: Callable[[], AbstractContextManager[Connection]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may become due between any two transactions, and is a query."""
    monkeypatch.setattr(schema, "_AGAIN", 0.0)
    for _ in range(2):
        with transaction() as connection:
            assert connection.scalar(text("SHOW transaction_read_only")) == "on"
            assert connection.scalar(text("SELECT count(*) FROM jobs")) is not None
            assert connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"
    engine.dispose()


def test_two_upgrades_at_once_take_turns(empty_database: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        before = [found for found, _ in pool.map(lambda _: migrate.upgrade(empty_database), range(2))]
    assert sorted(before, key=str) == [REVISION, None]


@pytest.mark.parametrize(
    ("revision", "advice"), [("0000", "simcelery db upgrade"), ("9999", "upgrade simcelery here")]
)
def test_another_schema_is_refused_in_one_line(empty_database: Settings, revision: str, advice: str) -> None:
    migrate.upgrade(empty_database)
    with engine.begin(empty_database) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()
    with pytest.raises(SchemaError, match=advice) as error, engine.begin(empty_database):
        pass
    assert "\n" not in str(error.value)


def test_a_board_restored_without_its_functions_is_said_to_be_incomplete(empty_database: Settings) -> None:
    migrate.upgrade(empty_database)
    with engine.begin(empty_database) as connection:
        connection.execute(text("ALTER FUNCTION claim_jobs RENAME TO elsewhere"))
    with (
        pytest.raises(BoardChangedError, match=r"\(function claim_jobs.*restore the board with its") as error,
        engine.begin(empty_database) as connection,
    ):
        connection.execute(text("SELECT claim_jobs(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"))
    assert "\n" not in str(error.value)


def test_a_database_in_an_old_encoding_refuses_what_it_cannot_hold(
    servers: Services, empty_database: Settings
) -> None:
    """And gives back what it can: nothing is garbled, and no job is claimed that cannot be read."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE fresh")
        connection.execute("CREATE DATABASE fresh ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    migrate.upgrade(empty_database)
    with engine.begin(empty_database) as board:
        assert board.scalar(text("SELECT CAST(:text AS jsonb)"), {"text": '"é"'}) == "é"
    with (
        pytest.raises(UsageError, match="the board cannot store this: ") as error,
        engine.begin(empty_database) as board,
    ):
        board.execute(text("SELECT CAST(:text AS jsonb)"), {"text": '"😀"'})
    assert "\n" not in str(error.value)


def test_an_unreachable_database_is_one_line_without_the_password() -> None:
    nowhere = replace(get_settings(), database_url=Secret("postgresql://me:s3cret@127.0.0.1:1/none"))
    with pytest.raises(BoardUnreachableError) as error, engine.begin(nowhere):
        pass
    assert "127.0.0.1:1/none cannot be reached" in str(error.value)
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)
