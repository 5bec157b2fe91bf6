"""Messages whose jobs were run by slices: dropped together, and never one that is needed."""

from __future__ import annotations

import json

import pytest
import redis

import simcelery
from simcelery import broker
from simcelery.board.values import Lane
from simcelery.broker import stale
from simcelery.services import Services
from tests.board_helpers import lane, sql


@simcelery.workflow(name="brief")
def brief(n: int = 0) -> int:
    return n


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


def ids(messages: redis.Redis, key: str) -> list[str]:
    """Whose messages wait, the newest first."""
    return [json.loads(raw)["headers"]["id"] for raw in messages.lrange(key, 0, -1)]  # type: ignore[union-attr]


def all_over() -> None:
    """As if slices had run all jobs."""
    sql("UPDATE jobs SET state = 'succeeded', finished_at = now(), started_at = now()")


def test_the_messages_of_a_lane_in_which_nothing_waits_are_dropped_and_no_others(
    messages: redis.Redis,
) -> None:
    brief.submit_many({"n": n} for n in range(300))
    brief.submit_many(({"n": n} for n in range(3)), priority=9)
    all_over()
    kept = [brief.submit(priority=3), brief.submit(queue="other")]
    broker.drop_stale(Lane("default", "brief", 4))
    assert (messages.llen(lane("brief")), messages.llen(lane("brief", priority=9))) == (0, 0)
    assert ids(messages, lane("brief", priority=3)) == [str(kept[0].task_id)]
    assert ids(messages, lane("brief", "other")) == [str(kept[1].task_id)]


@pytest.mark.parametrize("priority", [4, 8])
def test_nothing_is_dropped_while_a_job_waits_that_is_as_urgent(messages: redis.Redis, priority: int) -> None:
    brief.submit_many({"n": n} for n in range(3))
    all_over()
    brief.submit(priority=priority)
    sql("UPDATE jobs SET published_at = NULL WHERE state = 'pending'")  # sent or not
    broker.drop_stale(Lane("default", "brief", 4))
    assert messages.llen(lane("brief")) >= 3


def test_what_is_sent_while_the_board_is_asked_stays(messages: redis.Redis) -> None:
    for key, before in (("many", 5), ("one", 1), ("taken", 3), ("gone", 1)):
        messages.rpush(key, *(f"{key}{n}" for n in range(before)))
    newest = {key: messages.lindex(key, 0) for key in ("many", "one", "taken", "gone")}

    def needed() -> bool:
        messages.lpush("many", "new", "newer")
        messages.lpush("one", "new")
        messages.rpop("taken", 2)
        messages.rpop("gone")
        messages.lpush("gone", "new")
        messages.lpush("empty", "new")
        return False

    assert set(newest) == {"many", "one", "taken", "gone"}
    stale.drop(messages, ["many", "one", "taken", "gone", "empty"], needed)
    left = {key: messages.lrange(key, 0, -1) for key in ("many", "one", "taken", "gone", "empty")}
    assert left == {
        "many": [b"newer", b"new"],
        "one": [b"new"],
        "taken": [],
        "gone": [b"new"],
        "empty": [b"new"],
    }
