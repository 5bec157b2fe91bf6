"""The numbers for Prometheus, as a real board and a real Redis say them."""

from __future__ import annotations

import redis

from simcelery import broker
from simcelery.board import engine, feed
from simcelery.board.states import Outcome, State
from simcelery.monitor import numbers
from simcelery.services import Services
from tests import board_helpers as put
from tests import hostile_rows

HOUR = 3600.0


def age(job: int, seconds: float) -> None:
    """As if it had been recorded so long ago."""
    put.sql(
        "UPDATE jobs SET submitted_at = now() - make_interval(secs => :seconds) WHERE id = :id",
        seconds=seconds,
        id=job,
    )


def oldest(queue: str = "default") -> float:
    return numbers.look().queues[queue].oldest


def test_jobs_attempts_and_workers_are_counted(board: Services) -> None:
    worker = put.worker(queues=["default", "gpu"], concurrency=3)
    put.worker(queues=["gpu"], concurrency=2)
    for report in (put.SUCCESS, put.SUCCESS, put.ERROR):
        put.finish(put.must_claim(put.record().task_id, worker), report)
    put.must_claim(put.record().task_id, worker)
    put.record(queue="gpu")
    found = numbers.look()
    assert found.queues["default"].jobs == {State.SUCCEEDED: 2, State.FAILED: 1, State.RUNNING: 1}
    assert found.queues["gpu"].jobs == {State.PENDING: 1}
    assert (found.queues["default"].workers, found.queues["default"].slots) == (1, 3)
    assert (found.queues["gpu"].workers, found.queues["gpu"].slots) == (2, 5)
    assert found.attempts == {Outcome.SUCCEEDED: 2, Outcome.FAILED: 1}
    assert found.workers == {"live": 2, "quarantined": 0}
    assert found.lost == 0
    put.lapse(worker)
    found = numbers.look()
    assert (found.lost, found.workers["live"], found.queues["default"].workers) == (1, 1, 0)
    put.sql("UPDATE workers SET quarantined_at = now()")
    found = numbers.look()
    assert found.workers == {"live": 0, "quarantined": 1}
    assert found.queues["gpu"].workers == 0
    put.sql("UPDATE attempts SET finished_at = now() - interval '6 minutes'")
    assert numbers.look().attempts == {}


def test_what_the_broker_lags_behind(board: Services) -> None:
    sent = [put.record(queue="gpu").id for _ in range(3)][:2]
    with engine.begin() as connection:
        jobs = feed.unsent(connection, sent, 10)
    broker.publish(jobs)
    found = numbers.look()
    assert found.broker_up
    assert found.queues["gpu"].jobs == {State.PENDING: 3}
    assert (found.queues["gpu"].published, found.queues["gpu"].messages) == (2, 2)
    redis.Redis.from_url(board.broker_url).flushdb()
    found = numbers.look()
    assert (found.queues["gpu"].published, found.queues["gpu"].messages) == (2, 0)


def test_how_long_the_oldest_has_been_waiting(board: Services) -> None:
    young, old = put.record().id, put.record().id
    assert 0 <= oldest() < HOUR / 2
    age(old, 2 * HOUR)
    assert 2 * HOUR <= oldest() < 2.5 * HOUR
    put.sql("UPDATE jobs SET published_at = now() WHERE id = :id", id=old)
    assert 2 * HOUR <= oldest() < 2.5 * HOUR
    put.cancel(old)
    assert oldest() < HOUR / 2
    put.cancel(young)
    assert oldest() == 0


def test_it_has_not_been_waiting_before_it_could_begin(board: Services) -> None:
    worker = put.worker()
    parent = put.record()
    child = put.record(parents=[parent.id])
    again = put.record(max_attempts=2)
    age(child.id, 9 * HOUR)
    age(again.id, 9 * HOUR)
    put.finish(put.must_claim(parent.task_id, worker))
    put.finish(put.must_claim(again.task_id, worker), put.AGAIN)
    put.sql("UPDATE jobs SET state = 'pending' WHERE state = 'scheduled'")
    assert oldest() < HOUR
    due = put.record(queue="due").id
    put.sql("UPDATE jobs SET run_at = now() - interval '1 minute' WHERE id = :id", id=due)
    age(due, 9 * HOUR)
    assert 60 <= oldest("due") < HOUR


def test_an_act_that_nobody_does_is_overdue(board: Services) -> None:
    put.sql("UPDATE recovery SET next_at = now() + interval '1 minute' WHERE name = 'rescue'")
    put.sql("UPDATE recovery SET next_at = now() - interval '1 hour' WHERE name = 'settle'")
    put.sql("INSERT INTO recovery (name) VALUES ('of a newer version')")
    found = numbers.look().overdue
    assert found["rescue"] == 0
    assert found["settle"] >= HOUR
    assert "of a newer version" not in found


def test_rows_that_cannot_be_read_are_in_nobodys_way(board: Services) -> None:
    put.worker()
    hostile_rows.write(board.database_url)
    found = numbers.look()
    assert found.queues
    assert all(one.oldest >= 0 for one in found.queues.values())
