"""Submitting: what is recorded, what is published, and what is refused before anything is written."""

from __future__ import annotations

import datetime as dt
import logging
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import redis
from kombu import pools

import simcelery
from simcelery import broker, settings
from simcelery.board import engine, submitting
from simcelery.board.states import State
from simcelery.errors import (
    EncodingError,
    ParametersError,
    PayloadTooLargeError,
    StateError,
    SubmissionInterruptedError,
    WaitTimeoutError,
)
from simcelery.maintenance import republish, stage
from simcelery.services import Services
from simcelery.submission import bulk
from tests.board_helpers import ERROR, SUCCESS, finish, lane, must_claim, row, state, worker


@simcelery.workflow(name="w")
def w(x: Any = 0, y: float = 1.0) -> Any:
    return x


@simcelery.workflow(
    name="urgent", priority=9, queue="fast", max_attempts=4, time_limit="2m", time_request="1m"
)
def urgent(n: int) -> int:
    return n


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


@contextmanager
def nobody_listens() -> Iterator[None]:
    """A broker URL with a port that is taken, and where nobody answers."""
    good = settings.get_settings().redis_url()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use_broker(f"redis://127.0.0.1:{unused.getsockname()[1]}/0")
        yield
        use_broker(good)


def use_broker(url: str) -> None:
    """Point this process's app to another broker."""
    settings.override({"broker_url": url})
    celery = broker.app()
    celery.conf.broker_url = celery.conf.broker_read_url = celery.conf.broker_write_url = url
    pools.reset()
    celery._pool = None
    celery.amqp._producer_pool = None


def test_a_job_is_recorded_as_submitted_and_published(messages: redis.Redis) -> None:
    job = urgent.submit(7, tags=["a", "b"])
    found = row(job.id)
    assert (found.workflow, found.parameters, found.state) == ("urgent", {"n": 7}, "pending")
    assert (found.queue, found.priority, found.tags) == ("fast", 9, ["a", "b"])
    assert (found.max_attempts, found.time_limit, found.time_request) == (4, 120.0, 60)
    assert found.published_at is not None
    assert "@" in found.submitted_by
    assert messages.llen(lane("urgent", "fast", 9)) == 1


def test_a_message_names_the_job_and_carries_no_parameters(messages: redis.Redis) -> None:
    job = w.submit(x={"secret": ["s3cret"] * 3}, y=2.5)
    [raw] = messages.lrange(lane("w"), 0, -1)
    assert str(job.task_id).encode() in raw
    assert b"s3cret" not in raw
    assert b"2.5" not in raw


def test_options_win_over_the_workflows_defaults(messages: redis.Redis) -> None:
    job = urgent.submit(
        1, queue="slow", priority=0, max_attempts=1, time_limit=5, time_request="3s", delay="1h"
    )
    found = row(job.id)
    assert found.time_request == 3
    assert (found.queue, found.priority, found.max_attempts, found.time_limit) == ("slow", 0, 1, 5.0)
    assert found.state == "scheduled"
    assert found.run_at is not None
    assert 3500 < (found.run_at - found.submitted_at).total_seconds() < 3700


def test_a_time_in_the_past_means_now(messages: redis.Redis) -> None:
    job = w.submit(run_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    assert job.state == "pending"


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        1e16,
        1e300,
        5e-324,
        10**30,
        "Å ∂ 𝛙",
        {"$float": "nan"},
        {1: {2: 3}},
    ],
    ids=repr,
)
def test_awkward_values_survive_the_board(messages: redis.Redis, value: Any) -> None:
    job = w.submit(x=value)
    back = w.parameters.restore(row(job.id).parameters)["x"]
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_arrays_survive_the_board(messages: redis.Redis) -> None:
    array = np.array([[1.0, math.nan], [-0.0, 1e300]])
    back = w.parameters.restore(row(w.submit(x=array).id).parameters)["x"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"z": 1}, ParametersError, "w: there is no parameter 'z'; it takes: x, y"),
        ({"y": "abc"}, ParametersError, "w: parameter 'y': 'abc' is not a number"),
        ({"x": lambda: None}, EncodingError, "w: parameter x: a function cannot be stored on the board"),
        ({"x": ["a", "b\0c"]}, EncodingError, r"w: parameter x\[1\]: text with a NUL character"),
        (
            {"x": "x" * 10_000_000},
            PayloadTooLargeError,
            r"w: parameter.x is 9.5 MiB and max_payload is 1.0 MiB",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    messages: redis.Redis, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        w.submit(**given)
    assert "\n" not in str(caught.value)
    assert len(simcelery.jobs()) == 0
    assert messages.dbsize() == 0


def test_one_bad_item_of_many_means_that_none_is_recorded(messages: redis.Redis) -> None:
    with pytest.raises(ParametersError):
        w.submit_many([{"x": 1}, {"x": 2}, {"q": 3}])
    assert len(simcelery.jobs()) == 0


def test_without_a_broker_the_job_is_recorded_and_published_later(
    messages: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with nobody_listens(), caplog.at_level(logging.WARNING, "simcelery"):
        job = w.submit(x=1)
    [record] = caplog.records
    assert record.getMessage().startswith(
        f"job {job.id} is recorded and will be published later: the broker at"
    )
    assert "\n" not in record.getMessage()
    assert (job.state, job.row().published_at) == ("pending", None)
    assert republish.tick() == (0, 0)  # it is still the client's own
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET submitted_at = now() - interval '3 s'")
    assert republish.tick() == (1, 0)
    assert messages.llen(lane("w")) == 1
    assert job.row().published_at is not None


def test_the_window_bounds_what_redis_holds_and_recovery_feeds_the_rest(messages: redis.Redis) -> None:
    settings.override({"publish_window": 10})
    try:
        jobs = w.submit_many({"x": i} for i in range(25))
        assert messages.llen(lane("w")) == 10
        assert republish.tick() == (0, 0)
        urgent.submit(1)  # another lane has a window of its own
        assert messages.llen(lane("urgent", "fast", 9)) == 1
        messages.delete(lane("w"), lane("urgent", "fast", 9))  # all taken, as far as Redis knows
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE jobs SET submitted_at = now() - interval '3 s'")
            connection.exec_driver_sql("UPDATE jobs SET published_at = now() - interval '1 s'")
            connection.exec_driver_sql(
                "UPDATE jobs SET published_at = NULL, publish_count = 0 "
                f"WHERE id > {jobs[9].id} AND queue = 'default'"
            )
        # Sent a second ago and not yet claimed: that is no loss. So only the fresh ones are fed.
        assert republish.tick() == (10, 0)
    finally:
        settings.override({"publish_window": 2000})


def test_lost_messages_are_sent_again_after_a_while(messages: redis.Redis) -> None:
    jobs = w.submit_many({"x": i} for i in range(3))
    messages.flushdb()
    assert republish.tick() == (0, 0)  # too soon: they may just be being claimed
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET published_at = now() - interval '6 s'")
    assert republish.tick() == (0, 3)
    assert messages.llen(lane("w")) == 3
    messages.flushdb()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET published_at = now() - interval '6 s'")
    assert republish.tick() == (0, 0)  # the second time it waits for 10 s
    assert all(job.state == "pending" for job in jobs)


def test_messages_that_wait_in_a_busy_queue_are_not_sent_again(messages: redis.Redis) -> None:
    w.submit_many({"x": i} for i in range(3))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET published_at = now() - interval '1 h'")
    assert republish.tick() == (0, 0)
    assert messages.llen(lane("w")) == 3


def test_delayed_jobs_are_staged_and_published(messages: redis.Redis) -> None:
    job = w.submit(delay=0.1)
    assert (job.state, messages.dbsize()) == ("scheduled", 0)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.15)")
    assert stage.tick() == 1
    assert (job.state, messages.llen(lane("w"))) == ("pending", 1)


def test_a_job_as_a_parameter_is_a_dependency(messages: redis.Redis) -> None:
    first = w.submit(x=1)
    second = w.submit(x={"deep": [first, 2]}, after=w.submit(x=3))
    found = row(second.id)
    assert found.parameters["x"] == {"deep": [{"$job": first.id}, 2]}
    assert (found.state, found.unmet) == ("blocked", 2)


def test_dedupe_gives_the_job_that_has_these_parameters(messages: redis.Redis) -> None:
    first = w.submit(x=1, dedupe=True)
    again = w.submit(x=1, y=1.0, dedupe=True)  # the default spelled out is the same job
    other = w.submit(x=2, dedupe=True)
    assert (again.id, again.how) == (first.id, "existing")
    assert other.how == "new"
    finish(must_claim(first.task_id, worker()), ERROR)
    jobs = w.submit_many([{"x": 1}, {"x": 2}, {"x": 3}], dedupe=True)
    assert jobs.summary() == {"new": 1, "existing": 1, "retried": 1}
    assert state(first.id) == "pending"


def test_a_deep_mapping_with_odd_keys_is_stored(messages: redis.Redis) -> None:
    """Each level of it takes three of JSON."""
    deep: Any = 1
    for _ in range(95):
        deep = {1: deep}
    assert str(row(w.submit(x=deep).id).parameters["x"]).count("$") >= 95


def test_submit_many_is_lazy_in_its_handles_and_keeps_the_order(messages: redis.Redis) -> None:
    jobs = w.submit_many(({"x": i} for i in range(500)), tags=["bulk"])
    assert len(jobs) == 500
    assert jobs.ids == sorted(jobs.ids)
    assert [row(number).parameters["x"] for number in (jobs[0].id, jobs[250].id, jobs[-1].id)] == [
        0,
        250,
        499,
    ]
    assert row(jobs[499].id).tags == ["bulk"]


def test_an_interrupted_submission_says_what_is_recorded(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 10)

    def items() -> Iterator[dict[str, int]]:
        yield from ({"x": i} for i in range(25))
        raise KeyboardInterrupt

    with pytest.raises(SubmissionInterruptedError, match="20 jobs are recorded") as caught:
        w.submit_many(items())
    assert caught.value.recorded == 20
    assert [job.id for job in simcelery.jobs()] == caught.value.ids
    with pytest.raises(KeyboardInterrupt):  # with dedupe one simply submits again
        w.submit_many(items(), dedupe=True)


def test_an_interruption_while_publishing_still_counts_what_is_recorded(
    messages: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(jobs: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(broker, "publish", interrupted)
    with pytest.raises(SubmissionInterruptedError, match="3 jobs are recorded"):
        w.submit_many({"x": i} for i in range(3))


def test_iterators_as_options_hold_for_every_job(messages: redis.Redis) -> None:
    parent = w.submit()
    jobs = w.submit_many(
        [{"x": 1}, {"x": 2}], after=(job for job in [parent]), tags=(tag for tag in ["a", "b"])
    )
    assert [job.state for job in jobs] == ["blocked", "blocked"]
    assert [row(job.id).tags for job in jobs] == [["a", "b"]] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "a\0b"},
        {"queue": ""},
        {"key": "\ud800"},
        {"key": "k" * 12_000},
        {"tags": ["a", None]},
        {"tags": "word"},
        {"priority": True},
        {"priority": 10},
        {"max_attempts": 10**12},
        {"delay": 1e300},
        {"delay": -1},
        {"run_at": "tomorrow"},
        {"run_at": dt.datetime(2030, 1, 1)},
        {"after": "abc"},
        {"after": 2**70},
        {"time_limit": 0},
        {"time_request": 0},
        {"time_request": "soon"},
    ],
    ids=str,
)
def test_a_malformed_option_is_one_line(messages: redis.Redis, options: dict[str, Any]) -> None:
    with pytest.raises(ParametersError) as caught:
        w.submit(**options)
    assert "\n" not in str(caught.value)
    assert next(iter(options)) in str(caught.value)
    assert len(simcelery.jobs()) == 0


def test_a_key_names_one_job_of_one_workflow(messages: redis.Redis) -> None:
    job = w.submit(x=1, key="mine")
    assert w.submit(x=1, key="mine") == job
    with pytest.raises(StateError, match=f"job {job.id} of w already has this key"):
        urgent.submit(1, key="mine")
    with pytest.raises(ParametersError, match="key names one job"):
        w.submit_many([{"x": 1}, {"x": 2}], key="many")


def test_waiting_gives_up_after_the_timeout(messages: redis.Redis) -> None:
    job = w.submit()
    with pytest.raises(WaitTimeoutError, match=r"not finished after 0\.1 s"):
        job.result(timeout=0.1)


def test_results_are_restored_and_queried(messages: redis.Redis) -> None:
    me = worker()
    job = w.submit(x=1, tags=["mine"])
    finish(must_claim(job.task_id, me), SUCCESS)
    assert job.result(timeout=1) == 1
    assert simcelery.jobs(tags=["mine"], state="succeeded").results() == [1]
    assert simcelery.jobs(workflow="w").counts() == {State.SUCCEEDED: 1}
    assert simcelery.get_job(job.id) == job


def test_marking_skips_jobs_that_are_no_longer_pending(messages: redis.Redis) -> None:
    me = worker()
    job = w.submit()
    finish(must_claim(job.task_id, me), SUCCESS)
    before = row(job.id).published_at
    submitting.mark_published([job.id])
    assert row(job.id).published_at == before
