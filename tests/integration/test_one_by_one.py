"""A loop of single submissions: one transaction and one message for each job, as long as there is room."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis

import simcelery
from simcelery import settings
from simcelery.board import engine
from simcelery.board.values import Lane
from simcelery.broker import room
from simcelery.maintenance import republish
from simcelery.services import Services
from tests.board_helpers import lane, row, sql
from tests.integration.test_submission import nobody_listens


@simcelery.workflow(name="one")
def one(n: int = 0) -> int:
    return n


WAYS: dict[str, Callable[[int], Any]] = {
    "submit": lambda n: one.submit(n=n),
    "delay": one.delay,
    "apply_async": lambda n: one.apply_async((n,)),
}


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages; nothing is known of the room in its lanes."""
    for priority in range(10):
        room.forget(Lane("default", "one", priority))
    return redis.Redis.from_url(board.broker_url)


def asked(messages: redis.Redis) -> int:
    """How often somebody has asked Redis for the length of a list."""
    return int(messages.info("commandstats").get("cmdstat_llen", {"calls": 0})["calls"])


def published() -> list[Any]:
    """Of all jobs, in their order: whether and how often published, and whether by whoever recorded them."""
    return [
        (job.published_at is not None, job.publish_count, job.published_at == job.submitted_at)
        for job in sql("SELECT published_at, publish_count, submitted_at FROM jobs ORDER BY id")
    ]


@pytest.mark.parametrize("way", WAYS)
def test_all_but_the_first_are_recorded_as_published(messages: redis.Redis, way: str) -> None:
    WAYS[way](0)
    before = asked(messages)
    for n in range(1, 5):
        WAYS[way](n)
    assert asked(messages) == before
    assert published() == [(True, 1, False)] + 4 * [(True, 1, True)]
    assert messages.llen(lane("one")) == 5
    assert republish.tick() == (0, 0)


def test_what_is_known_of_the_room_counts_for_a_moment_only(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.submit()
    before = asked(messages)
    monkeypatch.setattr(room, "_KNOWN_FOR", 0.0)
    one.submit()
    assert asked(messages) == before + 1
    assert published()[1] == (True, 1, False)


def test_a_lane_takes_no_more_than_the_window(messages: redis.Redis) -> None:
    settings.override({"publish_window": 3})
    try:
        for n in range(6):
            one.submit(n)
        assert messages.llen(lane("one")) == 3
        assert [sent for sent, _, _ in published()] == [True] * 3 + [False] * 3
        one.submit(6, priority=9)  # another lane, with room of its own
        assert published()[6] == (True, 1, False)
    finally:
        settings.override({"publish_window": 2000})


def test_what_others_have_sent_meanwhile_is_noticed_after_one_message(messages: redis.Redis) -> None:
    settings.override({"publish_window": 3})
    try:
        one.submit()
        messages.lpush(lane("one"), "another's", "another's")
        for n in range(1, 4):
            one.submit(n)
        assert messages.llen(lane("one")) == 4
        assert [sent for sent, _, _ in published()] == [True, True, False, False]
    finally:
        settings.override({"publish_window": 2000})


def test_what_could_not_be_sent_is_not_published_after_all(
    messages: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one.submit()
    with nobody_listens(), caplog.at_level(logging.WARNING, "simcelery"):
        jobs = [one.submit(n) for n in (1, 2)]
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        f"job {job.id} is recorded and will be published later" for job in jobs
    ]
    assert published()[1:] == 2 * [(False, 0, False)]
    sql("UPDATE jobs SET submitted_at = now() - interval '3 s'")
    assert republish.tick() == (2, 0)
    assert messages.llen(lane("one")) == 3


def test_what_a_spoilt_list_does_not_take_is_not_published_after_all(messages: redis.Redis) -> None:
    one.submit()
    messages.set(lane("one"), "no list")
    one.submit(1)
    assert published()[1] == (False, 0, False)
    messages.delete(lane("one"))
    sql("UPDATE jobs SET submitted_at = now() - interval '3 s'")
    assert republish.tick()[0] == 1


def test_what_a_worker_has_claimed_before_its_message_failed_stays_claimed(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice takes what is pending, with or without a message."""
    one.submit()

    def claimed_meanwhile(*_: object) -> list[object]:
        sql("UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE parameters->>'n' = '1'")
        return []

    monkeypatch.setattr(simcelery.broker, "send", claimed_meanwhile)
    job = one.submit(1)
    assert sql(f"SELECT state, publish_count FROM jobs WHERE id = {job.id}") == [("cancelled", 1)]


def test_a_job_that_waits_is_not_recorded_as_published(messages: redis.Redis) -> None:
    first = one.submit()
    later = [one.submit(1, after=[first]), one.submit(2, delay=60)]
    assert [row(job.id).published_at for job in later] == [None, None]
    assert messages.llen(lane("one")) == 1


def test_a_call_with_the_id_of_another_job_is_refused(messages: redis.Redis) -> None:
    first = one.delay(0)
    with pytest.raises(simcelery.errors.StateError, match="has this task_id already"):
        one.apply_async((1,), task_id=first.id)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 1
