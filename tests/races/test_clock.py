"""Postgres' clock is set back: what was written before lies ahead of it, and nothing waits for that."""

from __future__ import annotations

import pytest

from simcelery.board import clock, engine, feed, turns
from simcelery.board.sendable import Lane
from tests.board_helpers import AGAIN, finish, must_claim, record, row, sql, state, worker

pytestmark = pytest.mark.usefixtures("board")


def take(act: str = "stage", every: float = 1.0) -> turns.Taken:
    with engine.begin() as connection:
        return turns.take_turns(connection, {act: every}, "me")


def test_a_turn_further_ahead_than_its_interval_is_due() -> None:
    sql("UPDATE recovery SET next_at = now() + interval '3 hours' WHERE name = 'stage'")
    assert take() == turns.Taken(frozenset({"stage"}), 0, set_back=True)
    assert take().acts == frozenset()


def test_a_turn_within_its_interval_is_waited_for() -> None:
    sql("UPDATE recovery SET next_at = now() + interval '30 s' WHERE name = 'prune'")
    assert take("prune", 60.0) == turns.Taken(frozenset(), 0, set_back=False)


def test_times_that_lie_ahead_are_set_right_and_the_wish_of_a_user_stays() -> None:
    me = worker(lease=20.0)
    running, sent = record(), record()
    retried, wished = record(max_attempts=3), record(delay=5 * 3600.0)
    must_claim(running.task_id, me)
    finish(must_claim(retried.task_id, me), AGAIN)
    sql("UPDATE jobs SET started_at = now() + interval '2 h' WHERE id = :id", id=running.id)
    sql("UPDATE jobs SET published_at = now() + interval '2 h' WHERE id = :id", id=sent.id)
    sql(
        "UPDATE jobs SET state = 'scheduled', run_at = now() + interval '2 h 30 s' WHERE id = :i",
        i=retried.id,
    )
    sql("UPDATE attempts SET finished_at = now() + interval '2 h' WHERE job_id = :id", id=retried.id)
    sql(
        "UPDATE workers SET renewed_at = now() + interval '2 h', steady_since = now() + interval '2 h',"
        " lease_expires_at = now() + interval '2 h 20 s'"
    )
    sql("UPDATE recovery SET next_at = now() + interval '2 h'")
    assert take().set_back
    [(lease,)] = sql("SELECT extract(epoch FROM lease_expires_at - now()) FROM workers")
    assert 15 < lease <= 20
    ahead = sql("SELECT id FROM jobs WHERE started_at > now() OR published_at > now() + interval '1 s'")
    assert ahead == []
    [(pause,)] = sql("SELECT extract(epoch FROM run_at - now()) FROM jobs WHERE id = :id", id=retried.id)
    assert 20 < pause <= 30
    [(left,)] = sql("SELECT extract(epoch FROM run_at - now()) FROM jobs WHERE id = :id", id=wished.id)
    assert left > 4 * 3600
    assert state(wished.id) == "scheduled"


def test_a_job_that_was_submitted_ahead_is_fed_at_once() -> None:
    recorded = record()
    sql("UPDATE jobs SET submitted_at = now() + interval '2 h'")
    with engine.begin() as connection:
        fed = feed.unpublished(connection, Lane("default", "w", 4), 10)
    assert [one.id for one in fed] == [recorded.id]


def test_an_attempt_never_ends_before_it_began() -> None:
    me = worker()
    recorded = record()
    claimed = must_claim(recorded.task_id, me)
    sql("UPDATE jobs SET started_at = now() + interval '2 h'")
    finish(claimed, AGAIN)
    [(began, ended)] = sql("SELECT started_at, finished_at FROM attempts")
    assert began <= ended
    assert row(recorded.id).state == "failed"


def test_doctor_is_told_what_lies_ahead() -> None:
    with engine.begin() as connection:
        assert clock.ahead(connection) == {}
    record()
    sql("UPDATE jobs SET submitted_at = now() + interval '2 h'")
    with engine.begin() as connection:
        found = clock.ahead(connection)
    assert list(found) == ["submissions"]
    assert 7100 < found["submissions"].total_seconds() <= 7200
