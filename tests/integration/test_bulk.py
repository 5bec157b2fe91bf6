"""Bulk submission: what is recorded, in which form it is published, and how much of it."""

from __future__ import annotations

import base64
import json
import threading
import tracemalloc
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import event

import simcelery
from simcelery import broker, settings
from simcelery.board import engine
from simcelery.board.values import Recorded
from simcelery.broker import lanes
from simcelery.errors import BoardUnreachableError, SubmissionInterruptedError
from simcelery.services import Services
from simcelery.submission import bulk, submit
from simcelery.submission.handle import Jobs
from tests.board_helpers import cut_transactions, lane, row, sql
from tests.waiting import wait_until


@simcelery.workflow(name="point")
def point(n: int = 0, text: str = "", anything: Any = None) -> int:
    return n


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


@pytest.fixture
def small_window() -> Iterator[None]:
    """Ten messages for each queue and priority."""
    settings.override({"publish_window": 10})
    yield
    settings.override({"publish_window": 2000})


AWKWARD = ["", "\\", "\\N", "\\.", "\t", "\n", "\r\n", '"', "'", "{a,b}", "\x7f", "Å𝛙", "\u2028", "NULL"]


def test_copied_rows_hold_what_inserted_ones_hold(messages: redis.Redis) -> None:
    items = [{"n": n, "text": text, "anything": {text: [text]}} for n, text in enumerate(AWKWARD)]
    options: dict[str, Any] = {
        "tags": ["a", 'b"c', "d\\e", "f,g", "{h}", "NULL"],
        "queue": "q\\'\" 1",
        "priority": 7,
        "time_limit": 12.5,
        "max_attempts": 3,
    }
    one_by_one = [row(point.submit(**item, **options).id) for item in items]
    copied = [row(job.id) for job in point.submit_many(items * 20, **options)[: len(items)]]
    with_keys = [row(job.id) for job in point.submit_many((items * 20), **options, dedupe=True)[: len(items)]]
    for name in (
        "workflow",
        "parameters",
        "queue",
        "priority",
        "tags",
        "time_limit",
        "max_attempts",
        "state",
    ):
        expected = [getattr(found, name) for found in one_by_one]
        assert [getattr(found, name) for found in copied] == expected
        assert [getattr(found, name) for found in with_keys] == expected
    assert [found.submitted_by for found in copied] == [found.submitted_by for found in one_by_one]


def test_delayed_and_dependent_jobs_are_copied_too(messages: redis.Redis) -> None:
    parent = point.submit()
    later = point.submit_many(({"n": n} for n in range(300)), delay="1h")
    after = point.submit_many({"anything": [parent, n]} for n in range(300))
    assert [later[n].state for n in (0, 299)] == ["scheduled"] * 2
    assert [after[n].state for n in (0, 299)] == ["blocked"] * 2
    assert row(after[299].id).parameters["anything"] == [{"$job": parent.id}, 299]


def test_messages_are_those_of_celery(messages: redis.Redis) -> None:
    celery = broker.app()
    job = point.submit(n=3, queue="a:b é", priority=2)
    many = point.submit_many([{"n": n} for n in range(300)], queue="a:b é", priority=2)
    key, name = lane("point", "a:b é", 2), lanes.lane("a:b é", "point")
    sent = messages.lrange(key, 0, -1)[::-1]  # the oldest was pushed first
    assert 0 < messages.ttl(key) <= 86_400
    messages.delete(key)
    celery.send_task("point", task_id=str(job.task_id), queue=name, priority=7, ignore_result=False)
    [raw] = messages.lrange(key, 0, -1)
    ours, theirs = _without_chance(sent[0]), _without_chance(raw)
    assert ours["headers"] == theirs["headers"]
    assert ours == theirs
    assert [json.loads(text)["headers"]["id"] for text in sent[1:]] == [str(one.task_id) for one in many]
    assert len({json.loads(text)["properties"]["delivery_tag"] for text in sent}) == 301


def _without_chance(raw: bytes | str) -> dict[str, Any]:
    """A message without what is drawn by lot."""
    message: dict[str, Any] = json.loads(raw)
    assert uuid.UUID(message["properties"].pop("delivery_tag")).version == 4
    del message["properties"][
        "reply_to"
    ]  # the client's thread, for results by message; ours are on the board
    message["body"] = json.loads(base64.b64decode(message["body"]))
    return message


def test_an_urgent_bulk_is_not_held_up_by_a_full_window_of_low_priority(
    messages: redis.Redis, small_window: None
) -> None:
    point.submit_many(({"n": n} for n in range(300)), priority=0)
    assert messages.llen(lane("point", priority=0)) == 10
    urgent = point.submit_many(({"n": n} for n in range(300)), priority=9)
    texts = messages.lrange(lane("point", priority=9), 0, -1)[::-1]
    assert [json.loads(text)["headers"]["id"] for text in texts] == [str(job.task_id) for job in urgent[:10]]
    elsewhere = point.submit(priority=0, queue="elsewhere")
    assert elsewhere.row().published_at is not None


def test_a_single_submission_costs_the_same_beside_any_backlog(
    messages: redis.Redis, small_window: None
) -> None:
    alone = _cost(messages)
    assert alone[1] == {"llen": 0, "lpush": 1}
    point.submit_many(({"n": n} for n in range(3000)), priority=0)
    assert _cost(messages) == alone


def _cost(messages: redis.Redis) -> tuple[list[str], dict[str, int]]:
    """The statements and the Redis commands of one submission."""
    point.submit(priority=9)  # connections are made, and the schema, which is looked at every 5 s, has been
    statements: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    messages.config_resetstat()
    event.listen(engine.engine(), "before_cursor_execute", note)
    point.submit(priority=9)
    event.remove(engine.engine(), "before_cursor_execute", note)
    stats = messages.info("commandstats")
    commands = {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("llen", "lpush")}
    return statements, commands


def test_only_the_window_of_a_bulk_is_marked_published(messages: redis.Redis, small_window: None) -> None:
    point.submit_many({"n": n} for n in range(300))
    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*), count(published_at), max(publish_count) FROM jobs"
        ).one()
    assert tuple(found) == (300, 10, 1)


def test_a_commit_without_an_answer_does_not_claim_that_nothing_is_recorded(
    messages: redis.Redis, board: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "failpoint", partial(_cut, board))
    with pytest.raises(BoardUnreachableError, match="it is not known whether the job was recorded") as caught:
        point.submit(key="k")
    assert "\n" not in str(caught.value)
    with pytest.raises(BoardUnreachableError, match="not known whether the last 300 jobs were recorded"):
        point.submit_many({"n": n} for n in range(300))


def test_a_single_job_without_an_answer_is_not_known_to_be_recorded(
    messages: redis.Redis, board: Services
) -> None:
    point.submit()
    with psycopg.connect(board.database_url) as blocking:
        blocking.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        cutter = threading.Thread(target=_cut_waiting, args=[board])
        cutter.start()
        with pytest.raises(BoardUnreachableError, match="it is not known whether the job was recorded"):
            point.submit()
        cutter.join()


def _cut_waiting(board: Services) -> None:
    """End the connections that wait for a lock, as soon as there is one."""
    with psycopg.connect(board.database_url, autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO jobs%'"
            ).fetchall()
        )


def _cut(board: Services, line: str) -> None:
    """Just before the commit, end the connections to the board that are in a transaction."""
    if line != "before_record_commit":
        return
    cut_transactions(board)


def test_an_interruption_with_dedupe_goes_on_where_it_stopped(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 100)

    def items(until: int) -> Iterator[dict[str, int]]:
        yield from ({"n": n} for n in range(until))
        if until < 300:
            raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        point.submit_many(items(250), dedupe=True)
    assert point.submit_many(items(300), dedupe=True).summary() == {"new": 100, "existing": 200, "retried": 0}
    with pytest.raises(SubmissionInterruptedError, match=r"submit again with dedupe, which finds them"):
        point.submit_many(items(250))


@pytest.mark.parametrize("dedupe", [False, True])
def test_large_parameters_are_recorded_in_more_transactions(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch, dedupe: bool
) -> None:
    monkeypatch.setattr(bulk, "CHUNK_SIZE", 3_000_000)
    items = [{"n": n, "text": f"{n % 10}" * 10_000} for n in range(1000)]
    tracemalloc.start()
    jobs = point.submit_many(iter(items), dedupe=dedupe)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25_000_000
    rows = sql("SELECT parameters->>'n', parameters->>'text' FROM jobs ORDER BY id")
    assert [(int(n), text) for n, text in rows] == [(item["n"], item["text"]) for item in items]
    [(transactions,)] = sql("SELECT count(DISTINCT submitted_at) FROM jobs")
    assert 4 <= transactions <= 5
    assert len(jobs) == 1000


def test_handles_are_small() -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    jobs = Jobs(Recorded(n, uuid.UUID(int=n), "existing" if n % 2 else "new") for n in range(100_000))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 40 * len(jobs)
    assert (jobs[-1].id, jobs[-1].task_id.int, jobs[-1].how) == (99_999, 99_999, "existing")
    assert [job.id for job in jobs[10:30:10]] == [10, 20]
    assert jobs.summary() == {"new": 50_000, "existing": 50_000, "retried": 0}
    with pytest.raises(IndexError):
        jobs[100_000]
