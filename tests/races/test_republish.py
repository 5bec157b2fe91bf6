"""What is sent to Redis, how much of it, and what first: the window, and messages that were lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import redis

from simcelery import settings
from simcelery.board import engine, submitting, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import EndedAttempt
from simcelery.maintenance import republish
from simcelery.maintenance.effects import Effects
from simcelery.services import Services
from tests.board_helpers import (
    AGAIN,
    LOST,
    finish,
    lane,
    must_claim,
    record,
    sql,
    worker,
)

RELEASED = EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.SHUTDOWN)


@pytest.fixture
def window(board: Services) -> Iterator[Callable[[int], None]]:
    """Sets how many messages a lane may hold, for one test."""
    before = dict(settings._overrides)
    yield lambda number: settings.override({"publish_window": number})
    settings._overrides.clear()
    settings.override(before)


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


def unpublished(number: int = 1) -> list[int]:
    """Jobs that were never sent, and that no client is about to send."""
    ids = [record().id for _ in range(number)]
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    return ids


def published(ago: float, times: int = 1) -> int:
    """A job that was sent so many times, the last of them so many seconds ago."""
    job = record()
    sql(
        "UPDATE jobs SET published_at = now() - make_interval(secs => :ago), publish_count = :times "
        "WHERE id = :id",
        ago=ago,
        times=times,
        id=job.id,
    )
    return job.id


def rehearsed() -> list[int]:
    """The ids of the jobs that would be sent, in that order: all of it in one moment of the board's time."""
    sent: list[int] = []
    with engine.begin() as connection:
        republish.tick(
            Effects(
                begin=lambda: nullcontext(connection),
                publish=lambda jobs: None,
                send=lambda jobs: sent.extend(job.id for job in jobs),
            )
        )
    return sent


# --- the window ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("there", "lost", "fresh"), [(3, 5, 2), (0, 8, 2), (8, 0, 2), (12, 0, 0)])
def test_lost_and_unpublished_jobs_together_fill_the_window_and_no_more(
    window: Callable[[int], None], messages: redis.Redis, there: int, lost: int, fresh: int
) -> None:
    window(10)
    for _ in range(8):
        published(ago=3600.0)
    unpublished(10)
    if there:
        messages.rpush(lane(), *["a message"] * there)
    assert republish.tick() == (fresh, lost)
    assert messages.llen(lane()) == max(10, there)


def test_where_nothing_waits_nothing_is_sent(messages: redis.Redis) -> None:
    assert republish.tick() == (0, 0)


def test_more_lost_jobs_than_the_window_holds_fill_it_alone(
    window: Callable[[int], None], messages: redis.Redis
) -> None:
    window(5)
    for _ in range(9):
        published(ago=3600.0)
    unpublished(3)
    messages.rpush(lane(), "a message")
    assert republish.tick() == (0, 4)
    assert messages.llen(lane()) == 5


def test_of_all_lanes_the_most_urgent_are_sent_first(board: Services) -> None:
    """However many queues and workflows there are, never sent or sent and lost."""
    kinds = [(queue, workflow) for queue in ("q", "r") for workflow in ("a", "b", "c")]
    lanes = [(priority, kind) for priority in (2, 7) for kind in kinds]
    jobs = {lane: record(priority=lane[0], queue=lane[1][0], workflow=lane[1][1]).id for lane in lanes}
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    in_order = [jobs[priority, kind] for priority in (7, 2) for kind in kinds]
    assert rehearsed() == in_order
    sql("UPDATE jobs SET published_at = now() - interval '1 h', publish_count = 1")
    assert rehearsed() == in_order


def test_a_lane_whose_list_cannot_be_used_does_not_stop_the_less_urgent_ones(messages: redis.Redis) -> None:
    record(priority=9)
    record(priority=2)
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    messages.set(lane(priority=9), "no list")
    assert republish.tick() == (1, 0)
    assert messages.llen(lane(priority=2)) == 1


# --- messages that were lost -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "ago", "again"),
    [
        (1, 4.0, False),
        (1, 5.1, True),
        (2, 9.0, False),
        (2, 10.1, True),
        (3, 14.0, False),
        (3, 15.1, True),
        (1_000_000, 14.0, False),
        (1_000_000, 15.1, True),
    ],
)
def test_a_job_whose_lane_holds_no_message_is_left_alone_for_15_seconds_at_most(
    board: Services, times: int, ago: float, again: bool
) -> None:
    sent = published(ago, times)
    assert rehearsed() == ([sent] if again else [])


@pytest.mark.parametrize(
    ("times", "ago", "again"),
    [
        (1, 4.0, False),
        (1, 5.1, True),
        (3, 15.1, False),
        (3, 20.1, True),
        (7, 319.0, False),
        (7, 321.0, True),
        (8, 599.0, False),
        (8, 601.0, True),
        (1_000_000, 599.0, False),
        (1_000_000, 601.0, True),
    ],
)
def test_a_job_whose_lane_holds_some_messages_is_left_alone_for_10_minutes_at_most(
    messages: redis.Redis, times: int, ago: float, again: bool
) -> None:
    sent = published(ago, times)
    published(ago=0.0)  # the message that is there may be its own
    messages.rpush(lane(), "a message")
    assert rehearsed() == ([sent] if again else [])


def test_every_sending_of_a_message_is_counted(board: Services) -> None:
    job = record()
    for times in (1, 2, 3):
        submitting.mark_published([job.id])
        assert sql("SELECT publish_count, published_at IS NOT NULL FROM jobs") == [(times, True)]


def test_as_many_are_sent_again_as_are_missing_those_first_that_were_sent_longest_ago(
    messages: redis.Redis,
) -> None:
    ids = [published(ago) for ago in (100.0, 500.0, 200.0, 400.0, 300.0)]
    messages.rpush(lane(), *["a message"] * 2)
    assert rehearsed() == [ids[1], ids[3], ids[4]]


def test_what_was_never_sent_comes_after_what_was_lost_oldest_first(board: Services) -> None:
    fresh = unpublished(3)
    lost = published(ago=100.0)
    assert rehearsed() == [lost, *fresh]


# --- jobs that are pending again -------------------------------------------------------------------


@pytest.mark.parametrize("report", [AGAIN, LOST, RELEASED], ids=["failed", "lost", "released"])
def test_the_message_of_an_ended_attempt_is_no_message_of_the_next(
    board: Services, report: EndedAttempt
) -> None:
    me, job = worker(), record(max_attempts=2)
    sql("UPDATE jobs SET published_at = now(), publish_count = 7")
    assert finish(must_claim(job.task_id, me), report) is not None
    sql("UPDATE jobs SET state = 'pending', submitted_at = now() - interval '1 min'")
    assert sql("SELECT published_at, publish_count FROM jobs") == [(None, 0)]
    assert rehearsed() == [job.id]  # at once


def test_nor_is_that_of_a_claim_that_was_never_begun(board: Services) -> None:
    me, job = worker(), record()
    sql("UPDATE jobs SET published_at = now(), publish_count = 7, submitted_at = now() - interval '1 min'")
    transitions.put_back([must_claim(job.task_id, me)])
    assert sql("SELECT published_at, publish_count FROM jobs") == [(None, 0)]
    assert rehearsed() == [job.id]
