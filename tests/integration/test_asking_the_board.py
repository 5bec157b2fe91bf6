"""Commands that only look ask the board without SQLAlchemy: same answers, and same words for faults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from simcelery import settings
from simcelery.board import asking, engine, reads, schema
from simcelery.board.models import Job
from simcelery.board.reads import Filter, estimates, gates
from simcelery.cli import selectors
from simcelery.conditions import reading
from simcelery.errors import BoardUnreachableError, SchemaError, SettingsError
from simcelery.services import Services
from simcelery.tables.doubts import unknown_names
from tests.board_helpers import record
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def alone(board: Services) -> Iterator[None]:
    """No connection is left by another test, nor to another."""
    engine.dispose()
    yield
    engine.dispose()


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], None]]:
    """Call it with the URL at which the board is said to be."""
    before = settings.get_settings().database_url
    yield lambda url: settings.override({"database_url": url})
    settings.override({"database_url": before.get_secret_value() if before else ""})


WHICH = {
    "all": Filter(),
    "ids": Filter(ids=[1, 2, 3], states=["pending"]),
    "everything": Filter(ids=range(1, 5000), states=["pending", "blocked"], workflow="w", queue="default"),
    "ranges": Filter(ids=[*range(1, 2000), *range(3000, 4000)], tags=["b%s"], since=60),
    "where": Filter(where=reading.condition("x = 1 and state in ('pending', 'failed') and worker is null")),
    "an odd name": Filter(where=reading.condition("`odd:name %s` is null and not (x = 2)"), tags=["a"]),
}


@pytest.mark.parametrize("which", WHICH.values(), ids=WHICH)
def test_both_ways_of_asking_give_the_same(which: Filter, board: Services) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER SEQUENCE jobs_id_seq RESTART")
    for n in range(4):
        record(parameters={"x": n % 2}, tags=("a", "b%s"))
    asks: dict[str, Callable[[Any], object]] = {
        "jobs": lambda connection: reads.jobs(connection, which, limit=3),
        "ids": lambda connection: reads.ids(connection, which),
        "counts": lambda connection: reads.counts_by_workflow(connection, which),
        "held": lambda connection: gates.count_held(connection, which),
        "unfinished": lambda connection: estimates.unfinished(connection, which),
    }
    with asking.begin() as plain:
        told = {name: ask(plain) for name, ask in asks.items()}
    with engine.begin() as connection:
        assert {name: ask(connection) for name, ask in asks.items()} == told
        numbers = connection.scalars(select(Job.id).where(*which.conditions()).order_by(Job.id))
        assert list(numbers) == told["ids"]
    assert told["ids"]


def test_nothing_is_written() -> None:
    with pytest.raises(BoardUnreachableError, match="read-only"), asking.begin() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")


def test_a_connection_is_used_again_and_replaced_if_postgres_was_restarted(board: Services) -> None:
    def backend() -> int:
        with asking.begin() as connection:
            return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar())

    first = backend()
    assert backend() == first
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert backend() != first


def test_who_begins_to_work_with_the_board_keeps_no_second_connection(board: Services) -> None:
    with asking.begin() as connection:
        asked = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with engine.begin() as connection:
        mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        there = "SELECT pid FROM pg_stat_get_activity(NULL) WHERE application_name = %(name)s"
        name = {"name": f"simcelery {os.getpid()}"}
        wait_until(lambda: list(connection.exec_driver_sql(there, name).scalars()) == [mine])
    assert asked != mine


@pytest.mark.parametrize("begin", [asking.begin, engine.begin])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP TABLE alembic_version", "has no schema yet: run 'simcelery db upgrade'"),
        ("DELETE FROM alembic_version", "has no schema yet: run 'simcelery db upgrade'"),
        ("UPDATE alembic_version SET version_num = '0001'", "has schema 0001, older than"),
        ("UPDATE alembic_version SET version_num = '9999'", "has schema 9999, newer than"),
    ],
)
def test_a_board_that_does_not_fit(
    begin: Callable[[], Any], change: str, message: str, servers: Services, elsewhere: Callable[[str], None]
) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS unfit WITH (FORCE)")
        connection.execute("CREATE DATABASE unfit")
    url = servers.database_url.rpartition("/")[0] + "/unfit"
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES (%s)", [schema.REVISION])
        connection.execute(change.encode())
    elsewhere(url)
    with pytest.raises(SchemaError, match=message), begin():
        pass
    engine.dispose()


@pytest.mark.parametrize("begin", [asking.begin, engine.begin])
@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        (
            "postgresql://me:s3cret@127.0.0.1:1/none",
            BoardUnreachableError,
            "127.0.0.1:1/none cannot be reached",
        ),
        ("postgresql://me:s3cret@127.0.0.1:1/none?nosuch=1", SettingsError, "database_url: .*nosuch"),
        ("postgresql://me:s3cret@127.0.0.1:1/none?sslmode=odd", BoardUnreachableError, "sslmode"),
    ],
)
def test_a_board_that_is_not_there(
    begin: Callable[[], Any], url: str, kind: type[Exception], message: str, elsewhere: Callable[[str], None]
) -> None:
    elsewhere(url)
    with pytest.raises(kind, match=message) as error, begin():
        pass
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_condition_that_chooses_few_jobs_is_asked_of_all_others_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = [record(parameters={"x": x}).id for x in (1, 1, 2)][:2]
    wanted = Filter(where=reading.condition("x = 1"), workflow="w")
    assert selectors.at_once(wanted) == replace(wanted, ids=few)
    assert selectors.at_once(Filter(workflow="w")) == Filter(workflow="w")
    monkeypatch.setattr(selectors, "_FEW", 1)
    assert selectors.at_once(wanted) == wanted
    none = Filter(where=reading.condition("nosuch = 1"))
    assert selectors.at_once(none) == replace(none, ids=[])
    assert unknown_names(selectors.at_once(none)) == ["nosuch"]
