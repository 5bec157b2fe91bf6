"""Recovery by turns: one worker at a time, without a leader; what an act leaves to later, and says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import psycopg
import pytest

from simcelery import settings
from simcelery.board import engine, transitions, turns
from simcelery.board import sql as statement
from simcelery.errors import BoardUnreachableError
from simcelery.maintenance import acts, loop, prune, rescue, settle, stage
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.services import Services
from tests.board_helpers import ERROR, finish, lapse, must_claim, record, sql, state, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


def test_of_many_workers_one_takes_each_turn() -> None:
    start = threading.Barrier(5)

    def take(number: int) -> bool:
        start.wait()
        return turns.take_turns({"stage": 60.0}, f"w{number}").acts == {"stage"}

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(take, range(5))) == 1


def test_whoever_needs_another_schema_takes_no_turn() -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        asked = turns.asked({"stage": 60.0}, "w", 0)
        assert statement.execute(connection, "take_turns", **asked).one().acts is None
        connection.rollback()
    assert turns.take_turns({"stage": 60.0}, "w").acts == {"stage"}


@pytest.mark.slow
def test_two_stagings_at_once_stage_each_job_once() -> None:
    recorded = [record(delay=0.05) for _ in range(50)]
    start = threading.Barrier(2)

    def stages() -> list[int]:
        start.wait()
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(0.1)")
            return [job.id for job in transitions.stage(connection, 1000)]

    # now() is the start of the transaction, so let the time come first.
    threading.Event().wait(0.2)
    with ThreadPoolExecutor(2) as pool:
        staged = [number for one in (pool.submit(stages), pool.submit(stages)) for number in one.result()]
    assert sorted(staged) == sorted(job.id for job in recorded)
    assert {state(job.id) for job in recorded} == {"pending"}


def staged(limit: int = 1000) -> list[int]:
    with engine.begin() as connection:
        return [job.id for job in transitions.stage(connection, limit)]


def test_only_what_is_due_is_staged_and_no_more_than_asked_for() -> None:
    *due, later = [record(delay=3600.0) for _ in range(4)]
    sql("UPDATE jobs SET run_at = now() - interval '1 s' WHERE id <> :id", id=later.id)
    found = staged(limit=2)
    assert len(found) == 2
    assert sorted(found + staged()) == [job.id for job in due]
    assert [state(job.id) for job in (*due, later)] == ["pending", "pending", "pending", "scheduled"]
    # What waits with a time that has come is staged already, and takes no place of others.
    sql("UPDATE jobs SET run_at = now() - interval '1 s' WHERE id = :id", id=later.id)
    assert staged(limit=1) == [later.id]


def test_a_job_that_somebody_holds_does_not_hold_up_the_others_that_are_due(board: Services) -> None:
    held, due = record(delay=3600.0), record(delay=3600.0)
    sql("UPDATE jobs SET run_at = now() - interval '1 s'")
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [held.id])
        done = pool.submit(staged)
        try:
            assert done.result(within(20)) == [due.id]
        finally:
            holder.rollback()


# --- what is left to the next turn -------------------------------------------------------------------


@pytest.fixture
def retention() -> Iterator[None]:
    """Jobs are pruned after a day, and a lease is short: Postgres may have started seconds ago."""
    before = dict(settings._overrides)
    settings.override({"retention": "1d", "lease": 0.2, "renew_every": 0.1})
    yield
    settings._overrides.clear()
    settings.override(before)


def lost() -> None:
    me = worker()
    must_claim(record().task_id, me)
    lapse(me)


def due() -> None:
    record(delay=0.0001)
    sql("UPDATE jobs SET run_at = now() - interval '1 s'")


def fallen() -> None:
    parent = record()
    record(parents=[parent.id])
    finish(must_claim(parent.task_id, worker()), ERROR)


def old() -> None:
    finish(must_claim(record().task_id, worker()))
    sql("UPDATE jobs SET finished_at = now() - interval '2 d'")


WORK: dict[ModuleType, Callable[[], None]] = {rescue: lost, stage: due, settle: fallen, prune: old}


@pytest.mark.parametrize("act", WORK, ids=lambda act: act.__name__.rpartition(".")[2])
def test_an_act_leaves_the_rest_to_the_next_turn(
    act: ModuleType, retention: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    WORK[act]()
    with monkeypatch.context() as patch:
        patch.setattr(act, "LONGEST_ACT", 0.0)
        assert act.tick() == 0
    assert act.tick() == 1
    assert act.tick() == 0


# --- what is said ----------------------------------------------------------------------------------


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception | None]]:
    """What the only act meets, each time that it is done; whoever is done has its turn again at once."""
    meets: list[Exception | None] = []

    def sweep(effects: Effects = USUAL) -> int:
        if error := meets.pop(0):
            raise error
        return 1

    monkeypatch.setattr(acts, "ACTS", (Act("sweep", 1.0, sweep, ("swept",), "sweeps", "{jobs}"),))
    yield meets
    sql("DELETE FROM recovery WHERE name = 'sweep'")


def rounds(number: int) -> None:
    mine = loop.Rounds(settings.get_settings(), "me")
    for _ in range(number):
        mine.round()
        sql("UPDATE recovery SET next_at = now()")


def test_which_acts_there_are_is_told_to_the_board_once(sweeps: list[Exception | None]) -> None:
    sweeps.append(None)
    mine = loop.Rounds(settings.get_settings(), "me")
    mine.round()
    sql("DELETE FROM recovery WHERE name = 'sweep'")
    mine.round()
    assert sql("SELECT FROM recovery WHERE name = 'sweep'") == []


GONE = BoardUnreachableError("the board is gone")


def test_an_act_that_waits_says_so_once_until_it_was_done(
    sweeps: list[Exception | None], caplog: pytest.LogCaptureFixture
) -> None:
    sweeps += [GONE, GONE, None, GONE, GONE]
    rounds(5)
    assert caplog.messages == ["sweep is waiting: the board is gone"] * 2
    assert sweeps == []


def test_an_act_that_fails_is_told_with_its_error_and_done_again(
    sweeps: list[Exception | None], caplog: pytest.LogCaptureFixture
) -> None:
    sweeps += [ValueError("oh"), None]
    rounds(2)
    assert caplog.messages == ["sweep failed; the other acts continue"]
    assert caplog.records[0].exc_info is not None
    assert sweeps == []


def test_whoever_cannot_ask_for_turns_says_so_once_until_it_can(
    sweeps: list[Exception | None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, take = [True, True, False, True], turns.take_turns

    def take_turns(*asked: object) -> turns.Taken:
        if gone.pop(0):
            raise GONE
        return take(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(turns, "take_turns", take_turns)
    sweeps.append(None)
    rounds(4)
    assert caplog.messages == ["recovery is waiting: the board is gone"] * 2
    assert sweeps == []


def test_a_clock_that_was_set_back_is_told(
    sweeps: list[Exception | None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    sweeps += [None, None]
    rounds(1)
    sql("UPDATE recovery SET next_at = now() + interval '3 h'")
    rounds(1)
    assert caplog.messages == [
        "Postgres's clock was set back; times on the board that are in the future are set to now"
    ]
    assert sweeps == []
