"""Celery's canvas: recorded in one transaction, or refused in one line before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import chain, chord, group
from sqlalchemy import text

import simcelery
from simcelery.board import engine, reads
from simcelery.errors import CanvasError, ParametersError
from simcelery.services import Services
from tests.board_helpers import lane


@simcelery.workflow(name="canvas.plus")
def plus(a: int, b: int = 0) -> int:
    return a + b


@simcelery.workflow(name="canvas.gather")
def gather(values: list[int]) -> int:
    return sum(values)


@pytest.fixture(autouse=True)
def broker(board: Services) -> redis.Redis:
    """An empty board and broker."""
    assert simcelery.app.tasks["canvas.plus"]
    return redis.Redis.from_url(board.broker_url)


def plain(value: Any) -> Any:
    return value


def plain_task() -> Any:
    """A Celery task that is no workflow."""
    return simcelery.app.task(name="plain")(plain)


def whole_chord() -> Any:
    """A chord with an option of its own."""
    return chord([plus.s(1), plus.s(2)], gather.s()).set(queue="gpu")


def edges() -> dict[int, list[int]]:
    """Job id → ids of its parents."""
    with engine.begin() as connection:
        return {job.id: reads.parents_of(connection, job.id).ids for job in simcelery.jobs()}


def transactions() -> int:
    """In how many transactions the jobs were inserted."""
    with engine.begin() as connection:
        return int(connection.scalar(text("SELECT count(DISTINCT submitted_at) FROM jobs")) or 0)


def test_a_chain_is_recorded_whole_and_only_its_first_job_is_sent(broker: redis.Redis) -> None:
    result = chain(plus.s(1, 1), plus.s(10), plus.si(5))()
    first, second, third = simcelery.jobs()
    assert [job.state for job in (first, second, third)] == ["pending", "blocked", "blocked"]
    assert edges() == {first.id: [], second.id: [first.id], third.id: [second.id]}
    assert second.row().parameters == {"a": {"$job": first.id}, "b": 10}
    assert third.row().parameters == {"a": 5, "b": 0}  # immutable: it waits, and takes no result
    assert (str(third.task_id), str(second.task_id)) == (result.id, result.parent.id)
    assert transactions() == 1
    assert broker.llen(lane("canvas.plus")) == 1


def test_a_chord_is_recorded_whole() -> None:
    result = chord([plus.s(1), plus.s(2), chain(plus.s(3), plus.s(4))])(gather.s())
    *header, body = list(simcelery.jobs())
    assert str(body.task_id) == result.id
    assert body.row().parameters == {"values": [{"$job": header[i].id} for i in (0, 1, 3)]}
    assert body.state == "blocked"
    assert transactions() == 1


def test_a_group_records_each_job(broker: redis.Redis) -> None:
    results = group(plus.s(i) for i in range(3))()
    assert [str(job.task_id) for job in simcelery.jobs()] == [result.id for result in results]
    assert broker.llen(lane("canvas.plus")) == 3


def test_celerys_delays_become_the_boards() -> None:
    plus.apply_async([1], countdown=60, priority=9, queue="fast", time_limit=5)
    [job] = simcelery.jobs()
    found = job.row()
    assert (found.state, found.priority, found.queue, found.time_limit) == ("scheduled", 9, "fast", 5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plus.apply_async([1], link=plus.s(1)), "cannot be submitted with link: write a chain"),
        (lambda: plus.apply_async([1], link_error=plus.s(1)), "cannot be submitted with link_error"),
        (lambda: plus.apply_async([1], expires=60), "cannot be submitted with expires"),
        (lambda: plus.apply_async([1], soft_time_limit=5), "cannot be submitted with soft_time_limit"),
        (lambda: plus.apply_async([1], queeu="gpu"), "there is no option 'queeu'"),
        (
            lambda: chain(plus.s(1), whole_chord())(),
            "options of a chord as a whole",
        ),
        (lambda: chain(plain_task().s(1), plus.s())(), "cannot mix workflows"),
        (lambda: plain_task().apply_async([1], link=plus.s()), "cannot mix workflows"),
        (lambda: plus.task.map([1, 2]).apply_async(), "cannot mix workflows"),
        (lambda: plus.apply_async([1], task_id="mine"), "task_id must be a UUID, not 'mine'"),
        (lambda: chain(plus.s(1), plain_task().s())(), "cannot mix workflows"),
        (
            lambda: chord([plus.s(1), plain_task().s(1)])(gather.s()),
            "cannot mix workflows",
        ),
        (
            lambda: chord([plus.s(1), plus.s(2)])(plain_task().s()),
            "cannot mix workflows",
        ),
        (
            lambda: chord([plain_task().s(1), plain_task().s(1)])(gather.s()),
            "cannot mix workflows",
        ),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    broker: redis.Redis, call: Callable[[], object], message: str
) -> None:
    with pytest.raises(CanvasError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(simcelery.jobs()) == 0
    assert broker.dbsize() == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: plus.delay(1, c=2),
        lambda: chain(plus.s(1), plus.s(2, 3))(),
        lambda: chain(plus.s(1), plus.s("many"))(),
        lambda: chord([plus.s(1), plus.s("one")])(gather.s()),
    ],
)
def test_a_mistake_anywhere_means_that_nothing_is_recorded(
    broker: redis.Redis, call: Callable[[], object]
) -> None:
    with pytest.raises(ParametersError):
        call()
    assert len(simcelery.jobs()) == 0
    assert broker.dbsize() == 0


@pytest.mark.parametrize("what", ["chain", "group", "text"])
def test_a_workflow_goes_on_in_one_call_and_is_told_how_to_write_more(what: str) -> None:
    several = {"chain": plus.s(1) | plus.s(2), "group": group([plus.s(1), plus.s(2)]), "text": "canvas.plus"}
    with pytest.raises(CanvasError, match="then takes the signature of one workflow") as refused:
        simcelery.then(several[what])
    assert "\n" not in str(refused.value)
    assert ("then(last.s(first.submit(1)))" in str(refused.value)) == (what != "text")
