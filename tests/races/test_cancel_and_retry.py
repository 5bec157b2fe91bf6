"""Cancels and retries by hand, against whatever else happens to the job."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from simcelery.board import engine, transitions
from simcelery.errors import StateError
from simcelery.services import Services
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    cancel,
    claim,
    finish,
    must_claim,
    record,
    registration,
    retry,
    row,
    settle,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


def test_a_cancelled_job_cannot_be_claimed() -> None:
    job, me = record(), worker()
    assert cancel(job.id) == ([job.id], [])
    assert claim(job.task_id, me) is None
    assert state(job.id) == "cancelled"


def test_a_cancel_of_what_has_not_begun_leaves_what_runs_alone() -> None:
    waiting, running, me = record(), record(), worker()
    must_claim(running.task_id, me)
    with engine.begin() as connection:
        found = transitions.cancel(connection, [waiting.id, running.id], running=False, by="test")
    assert found == ([waiting.id], [])
    assert (state(waiting.id), state(running.id)) == ("cancelled", "running")
    assert row(running.id).cancel_requested_at is None


def test_cancel_and_claim_at_once_never_leave_a_cancelled_job_running() -> None:
    me = worker()
    for _ in range(10):
        job = record()
        start = threading.Barrier(2)

        def claims(task_id: object = job.task_id, start: threading.Barrier = start) -> object:
            start.wait()
            return claim(task_id, me)  # type: ignore[arg-type]

        def cancels(job_id: int = job.id, start: threading.Barrier = start) -> object:
            start.wait()
            return cancel(job_id)

        with ThreadPoolExecutor(2) as pool:
            claimed, cancelled = pool.submit(claims), pool.submit(cancels)
        if claimed.result() is None:
            assert cancelled.result() == ([job.id], [])
            assert state(job.id) == "cancelled"
        else:
            assert cancelled.result() == ([], [job.id])
            assert row(job.id).cancel_requested_at is not None


@pytest.mark.parametrize("report", [ERROR, AGAIN, LOST], ids=["error", "error to retry", "lost"])
def test_a_cancel_stamped_while_the_job_runs_wins_over_every_unsuccessful_end(report: object) -> None:
    job, me = record(max_attempts=5), worker()
    claimed = must_claim(job.task_id, me)
    assert cancel(job.id) == ([], [job.id])
    finish(claimed, report)  # type: ignore[arg-type]
    assert state(job.id) == "cancelled"


def test_a_cancel_stamped_while_the_job_runs_wins_over_a_release() -> None:
    job, me = record(), worker()
    must_claim(job.task_id, me)
    cancel(job.id)
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    assert state(job.id) == "cancelled"


def test_a_success_that_arrives_before_the_cancel_is_delivered_stays() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    cancel(job.id)
    finish(claimed, SUCCESS)
    assert state(job.id) == "succeeded"
    assert cancel(job.id) == ([], [])


def test_retry_clears_all_but_the_attempt_number() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    cancel(job.id)
    finish(claimed, ERROR)
    assert retry(job.id) == [job.id]
    revived = row(job.id)
    assert (revived.state, revived.attempt, revived.failures, revived.losses) == ("pending", 1, 0, 0)
    assert (revived.error, revived.finished_at, revived.cancel_requested_at) == (None, None, None)
    finish(must_claim(job.task_id, me), SUCCESS)
    assert [ended["attempt"] for ended in attempts(job.id)] == [1, 2]
    assert sql("SELECT count(*) FROM revisions") == [(0,)], "nor is anything forgotten that it has saved"


def test_two_retries_at_once_revive_once() -> None:
    job, me = record(), worker()
    finish(must_claim(job.task_id, me), ERROR)
    start = threading.Barrier(2)

    def tries() -> list[int]:
        start.wait()
        return retry(job.id)

    with ThreadPoolExecutor(2) as pool:
        revived = [pool.submit(tries), pool.submit(tries)]
    assert sorted(len(found.result()) for found in revived) == [0, 1]


def test_a_success_cannot_be_retried() -> None:
    job, me = record(), worker()
    finish(must_claim(job.task_id, me), SUCCESS)
    assert retry(job.id) == []
    assert state(job.id) == "succeeded"


def test_a_retry_revives_exactly_its_fallen_descendants() -> None:
    me = worker()
    top, other = record(), record()
    child = record(parents=[top.id])
    grandchild = record(parents=[child.id])
    torn = record(parents=[top.id, other.id])
    finish(must_claim(top.task_id, me), ERROR)
    finish(must_claim(other.task_id, me), ERROR)
    settle()
    assert [state(job.id) for job in (child, grandchild, torn)] == ["upstream_failed"] * 3
    assert set(retry(top.id)) == {top.id, child.id, grandchild.id}
    assert [state(job.id) for job in (top, child, grandchild)] == ["pending", "blocked", "blocked"]
    assert state(torn.id) == "upstream_failed"
    assert set(retry(other.id)) == {other.id, torn.id}
    assert row(torn.id).unmet == 2
    finish(must_claim(top.task_id, me), SUCCESS)
    finish(must_claim(other.task_id, me), SUCCESS)
    assert [state(job.id) for job in (child, grandchild, torn)] == ["pending", "blocked", "pending"]


def test_a_child_is_not_retried_without_its_failed_parent() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id])
    finish(must_claim(parent.task_id, me), ERROR)
    settle()
    with pytest.raises(StateError, match=f"job {child.id} depends on job {parent.id}"):
        retry(child.id)
    assert set(retry(child.id, with_parents=True)) == {parent.id, child.id}
    assert (state(parent.id), state(child.id)) == ("pending", "blocked")


def test_a_retry_waits_only_for_the_parents_that_have_not_succeeded() -> None:
    me = worker()
    parents = [record(), record()]
    child = record(parents=[parent.id for parent in parents])
    finish(must_claim(parents[0].task_id, me), SUCCESS)
    finish(must_claim(parents[1].task_id, me), ERROR)
    settle()
    assert set(retry(parents[1].id)) == {parents[1].id, child.id}
    assert (state(child.id), row(child.id).unmet) == ("blocked", 1)


def test_only_its_own_parents_hold_back_what_is_retried() -> None:
    me = worker()
    parent, stranger = record(), record()
    child = record(parents=[parent.id])
    finish(must_claim(parent.task_id, me), SUCCESS)
    for job in (child, stranger):
        finish(must_claim(job.task_id, me), ERROR)
    assert retry(child.id) == [child.id]


def test_of_several_that_cannot_be_retried_the_first_is_named() -> None:
    me = worker()
    first, second = record(), record()
    waits_for_second, waits_for_first = record(parents=[second.id]), record(parents=[first.id])
    for job in (first, second):
        finish(must_claim(job.task_id, me), ERROR)
    settle()
    with pytest.raises(StateError, match=f"job {waits_for_second.id} depends on job {second.id}"):
        retry(waits_for_first.id, waits_for_second.id)


def test_a_retry_waits_for_nobody_who_holds_a_job_that_it_does_not_touch(board: Services) -> None:
    me = worker()
    top, other = record(), record()
    child, cancelled = record(parents=[top.id]), record(parents=[top.id])
    strange = record(parents=[other.id])
    for job in (top, other):
        finish(must_claim(job.task_id, me), ERROR)
    cancel(cancelled.id)
    settle()
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        held = [cancelled.id, strange.id]
        holder.execute("SELECT FROM jobs WHERE id = ANY (%s) FOR UPDATE", [held])
        done = pool.submit(retry, top.id)
        try:
            assert set(done.result(within(20))) == {top.id, child.id}
        finally:
            holder.rollback()


def test_a_retry_that_waits_for_a_fallen_dependent_holds_no_job_with_a_greater_id(board: Services) -> None:
    """So two retries of one family wait for each other in one direction only."""
    me = worker()
    top = record()
    child, last = record(parents=[top.id]), record()
    for job in (top, last):
        finish(must_claim(job.task_id, me), ERROR)
    settle()
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [child.id])
        done = pool.submit(retry, top.id, last.id)
        try:
            wait_until(lambda: bool(sql("SELECT FROM pg_locks WHERE NOT granted")), every=0.01)
            holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE NOWAIT", [last.id])
        finally:
            holder.rollback()
        assert set(done.result(within(20))) == {top.id, child.id, last.id}


def test_what_goes_back_with_its_parent_begins_anew() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id])
    finish(must_claim(parent.task_id, me), ERROR)
    settle()
    sql("UPDATE jobs SET failures = 2, losses = 1, publish_count = 3, unmet = 0 WHERE id = :id", id=child.id)
    assert retry(parent.id) == [parent.id, child.id]
    [found] = sql(
        "SELECT state, failures, losses, publish_count, unmet FROM jobs WHERE id = :id", id=child.id
    )
    assert tuple(found) == ("blocked", 0, 0, 0, 1)


def test_a_second_cancel_leaves_the_time_of_the_first() -> None:
    job, me = record(), worker()
    must_claim(job.task_id, me)
    cancel(job.id)
    [first] = sql("SELECT cancel_requested_at, finished_at FROM jobs WHERE id = :id", id=job.id)
    assert first.cancel_requested_at is not None
    assert first.finished_at is None
    cancel(job.id)
    assert sql("SELECT cancel_requested_at, finished_at FROM jobs WHERE id = :id", id=job.id) == [first]


def test_a_retry_leaves_alone_a_dependent_that_was_cancelled_or_that_another_one_holds_back() -> None:
    me = worker()
    top, other = record(), record()
    cancelled, middle = record(parents=[top.id]), record(parents=[other.id])
    torn = record(parents=[top.id, middle.id])
    cancel(cancelled.id)
    finish(must_claim(top.task_id, me), ERROR)
    finish(must_claim(other.task_id, me), ERROR)
    settle()
    assert retry(top.id) == [top.id]
    states = [state(job.id) for job in (cancelled, middle, torn)]
    assert states == ["cancelled", "upstream_failed", "upstream_failed"]
