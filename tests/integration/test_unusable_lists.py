"""The list of one lane cannot be used: that lane waits, and one line names its key; the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

import simcelery
from simcelery import broker
from simcelery.board.values import JobToPublish, Lane
from simcelery.broker import lists
from simcelery.broker.sparing import Sparing
from simcelery.maintenance import republish
from simcelery.services import Services
from tests.board_helpers import lane, sql


@simcelery.workflow(name="honest")
def honest(n: int = 0) -> int:
    return n


@simcelery.workflow(name="spoilt")
def spoilt(n: int = 0) -> int:
    return n


@contextmanager
def another_value(server: redis.Redis, key: str) -> Iterator[None]:
    """WRONGTYPE."""
    server.set(key, "no list")
    yield
    server.delete(key)


@contextmanager
def a_hash(server: redis.Redis, key: str) -> Iterator[None]:
    """WRONGTYPE as well."""
    server.hset(key, "a", "b")
    yield
    server.delete(key)


@contextmanager
def no_rights(server: redis.Redis, key: str) -> Iterator[None]:
    """NOPERM for this key alone."""
    server.execute_command("ACL", "SETUSER", "default", "resetkeys", "~default:honest*", "~_kombu*")
    try:
        yield
    finally:
        server.execute_command("ACL", "SETUSER", "default", "~*")


Spoil = Callable[[redis.Redis, str], object]


@pytest.fixture(autouse=True)
def said_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test before has said it already."""
    monkeypatch.setattr(lists, "_sparing", Sparing(lists.log, every=60.0))


@pytest.mark.parametrize("spoil", [another_value, a_hash, no_rights])
def test_one_lane_stops_no_other(board: Services, spoil: Spoil, caplog: pytest.LogCaptureFixture) -> None:
    server = redis.Redis.from_url(board.broker_url)
    caplog.set_level(logging.WARNING)
    bad, good = Lane("default", "spoilt", 4), Lane("default", "honest", 4)
    with spoil(server, lane("spoilt")):  # type: ignore[attr-defined]
        spoilt.submit_many({"n": n} for n in range(3))
        honest.submit_many({"n": n} for n in range(2))
        assert broker.lengths([bad, good]) == [None, 2]
        assert broker.anything_in([bad, good])
        assert not broker.anything_in([bad])
        sql("UPDATE jobs SET published_at = NULL, submitted_at = now() - interval '1 hour'")
        server.delete(lane("honest"))
        assert republish.tick() == (2, 0)
        assert server.llen(lane("honest")) == 2
        broker.drop_stale(bad)
        broker.drop_stale(good)
    unsent = sql("SELECT workflow, count(*) FROM jobs WHERE published_at IS NULL GROUP BY 1")
    assert [tuple(row) for row in unsent] == [("spoilt", 3)]
    [line] = [record.getMessage() for record in caplog.records if "so its jobs wait" in record.message]
    assert repr(lane("spoilt")) in line
    assert republish.tick() == (3, 0)
    assert server.llen(lane("spoilt")) == 3


def test_a_list_that_is_spoilt_just_then_is_not_taken_for_sent(board: Services) -> None:
    server = redis.Redis.from_url(board.broker_url)
    jobs = [spoilt.submit(), honest.submit()]
    server.flushdb()
    server.set(lane("spoilt"), "no list")
    sql("UPDATE jobs SET published_at = NULL")
    waiting = [JobToPublish(job.id, job.task_id, job.workflow, "default", 4) for job in jobs]
    assert broker.send_and_mark(waiting) == 1
    assert [job.row().published_at is None for job in jobs] == [True, False]
    assert simcelery.get_job(jobs[0].id).state == "pending"


def test_rights_that_are_gone_for_all_lanes_are_an_answer_of_redis(board: Services) -> None:
    server = redis.Redis.from_url(board.broker_url)
    server.execute_command("ACL", "SETUSER", "default", "-llen")
    try:
        with pytest.raises(simcelery.errors.BrokerRefusesError, match="NOPERM"):
            broker.lengths([Lane("default", "honest", 4)])
    finally:
        server.execute_command("ACL", "SETUSER", "default", "+llen")


def test_whether_any_of_many_lanes_holds_a_message_is_known_with_and_without_the_right_to_ask_so(
    board: Services,
) -> None:
    server = redis.Redis.from_url(board.broker_url)
    lanes = [Lane("default", name, priority) for name in ("honest", "spoilt") for priority in range(10)]
    for right in ("+exists", "-exists"):
        server.execute_command("ACL", "SETUSER", "default", right)
        try:
            assert not broker.anything_in(lanes)
            honest.submit()
            assert broker.anything_in(lanes)
            assert not broker.anything_in(lanes[10:])
            server.flushdb()
        finally:
            server.execute_command("ACL", "SETUSER", "default", "+exists")
