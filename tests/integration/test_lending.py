"""The connection of a client that submits without an engine: kept, tried, replaced, limited, handed over."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

import simcelery
from simcelery import settings
from simcelery.board import asking, engine, lending
from simcelery.board.schema import REVISION
from simcelery.errors import BoardUnreachableError, SchemaError
from simcelery.services import Services


@simcelery.workflow(name="lent")
def lent(n: int = 0) -> int:
    return n


@pytest.fixture(autouse=True)
def alone(board: Services) -> Iterator[None]:
    """This process has no connection, and no engine."""
    engine.dispose()
    yield
    engine.dispose()


def url() -> str:
    return settings.get_settings().board_url()


def backend() -> int:
    """Which process of Postgres this process's connection leads to."""
    with lending.lent(url()) as driver:
        [[pid]] = driver.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def apart(board: Services, *statements: str) -> list[Any]:
    """What the last of these statements returns, over a connection of its own."""
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def recorded(board: Services) -> list[int]:
    return [n for (n,) in apart(board, "SELECT (parameters->>'n')::int FROM jobs ORDER BY id")]


def test_all_submissions_share_a_connection_and_make_no_engine(board: Services) -> None:
    before = backend()
    lent.submit(1)
    lent.delay(2)
    lent.submit_many([{"n": 3}, {"n": 4}])
    assert lent.submit(5).state == "pending"
    assert backend() == before
    assert not engine._engines
    assert recorded(board) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("rest", [0.0, 60.0])
def test_a_connection_that_postgres_has_closed_is_replaced(
    board: Services, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "REST", rest)
    before = backend()
    apart(board, f"SELECT pg_terminate_backend({before}, 5000)")
    lent.submit(1)
    assert recorded(board) == [1]
    assert backend() != before


def test_a_fork_makes_its_own(board: Services) -> None:
    before = backend()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def child() -> None:
        lent.submit(1)
        answers.put(backend())

    process = context.Process(target=child)
    process.start()
    theirs = answers.get(timeout=60)
    process.join(60)
    assert (process.exitcode, theirs != before) == (0, True)
    lent.submit(2)
    assert backend() == before
    assert sorted(recorded(board)) == [1, 2]


def test_threads_have_ten_at_once_and_leave_one(board: Services) -> None:
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lent.submit, range(100)))
    assert sorted(recorded(board)) == list(range(100))
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'simcelery %' AND pid <> "
    with lending.lent(url()) as driver:
        name = driver.execute("SHOW application_name").fetchall()[0][0]
        others = apart(board, f"{ours}{driver.info.backend_pid} AND application_name = '{name}'")
    assert others == [(0,)]


def test_who_waits_too_long_for_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "LONGEST_WAIT", 0.1)
    with ExitStack() as stack:
        for _ in range(lending.AT_ONCE):
            stack.enter_context(lending.lent(url()))
        with pytest.raises(BoardUnreachableError, match=r"all connections of this process .* are in use"):
            lent.submit(1)
    lent.submit(2)


def test_an_engine_takes_over(board: Services) -> None:
    before = backend()
    with engine.begin() as connection:
        mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    assert mine != before
    assert backend() == mine
    with asking.begin() as question:
        assert question.exec_driver_sql("SELECT pg_backend_pid()").scalar() == mine
    lent.submit(1)
    assert recorded(board) == [1]


def test_what_is_borrowed_when_an_engine_is_made_is_closed_afterwards() -> None:
    with lending.lent(url()) as driver:
        engine.engine()
    assert driver.closed


def test_nothing_is_recorded_where_nobody_answers(board: Services) -> None:
    before = settings.get_settings().database_url
    settings.override({"database_url": "postgresql://me@127.0.0.1:1/none"})
    try:
        with pytest.raises(BoardUnreachableError, match="cannot be reached") as error:
            lent.submit(1)
    finally:
        settings.override({"database_url": before.get_secret_value() if before else ""})
    assert "not known" not in str(error.value)
    assert not error.value.perhaps_done


LOST = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$
"""


def test_a_connection_lost_in_the_middle_leaves_it_unknown(board: Services) -> None:
    lent.submit(1)
    apart(board, LOST, "CREATE TRIGGER lose AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION lose()")
    try:
        with pytest.raises(BoardUnreachableError, match="not known whether the job was recorded"):
            lent.submit(2)
        with pytest.raises(BoardUnreachableError) as error:
            lent.submit_many([{"n": 3}, {"n": 4}])
        assert "not known" not in str(error.value)  # it had not come to the commit
    finally:
        apart(board, "DROP TRIGGER lose ON jobs", "DROP FUNCTION lose()")
    lent.submit(5)
    assert recorded(board) == [1, 5]


def test_nothing_is_written_to_a_schema_that_does_not_fit(board: Services) -> None:
    apart(board, "UPDATE alembic_version SET version_num = '9999'")
    try:
        for submit in (lambda: lent.submit(1), lambda: lent.submit_many([{"n": 2}, {"n": 3}])):
            with pytest.raises(SchemaError, match="newer than"):
                submit()
    finally:
        apart(board, f"UPDATE alembic_version SET version_num = '{REVISION}'")
    assert recorded(board) == []


def test_threads_that_begin_together_agree_on_the_places() -> None:
    """Each process has one semaphore, however many threads ask for it first."""
    lending._places.clear()
    start = threading.Barrier(8)

    def borrow(_: int) -> None:
        start.wait()
        with lending.lent(url()):
            pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(borrow, range(8)))
    assert len(lending._places) == 1
