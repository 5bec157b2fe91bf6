"""What an executor cancels because it has not begun, while a worker holds it in a slice."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import pytest

import simcelery
from simcelery import workflow
from simcelery.board import transitions
from simcelery.board.values import Claim, ClaimRequest
from simcelery.errors import JobNotFoundError
from simcelery.submission import actions
from simcelery.submission.futures import JobFuture
from tests.board_helpers import finish, must_claim, registration, sql, state, worker
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


@workflow(name="slices.double")
def double(x: int) -> int:
    return 2 * x


def claim_slice(calls: list[JobFuture]) -> list[Claim]:
    [first, *rest] = [call.job for call in calls]
    request = ClaimRequest(
        first.task_id, double.name, uuid.uuid4(), registration(worker()), 100, "default", more=len(rest)
    )
    return transitions.claim(request)


def test_what_a_slice_puts_back_is_cancelled_with_all_that_has_not_begun() -> None:
    executor = simcelery.Executor()
    calls = [executor.submit(double, x) for x in range(3)]
    [begun, *unbegun] = claim_slice(calls)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(executor.shutdown, wait=False, cancel_futures=True)
        assert not futures.wait([cancelling], 0.3).done
        transitions.put_back(unbegun)
        cancelling.result(within(10))
    assert [state(call.job.id) for call in calls] == ["running", "cancelled", "cancelled"]
    assert [call.cancelled() for call in calls] == [False, True, True]
    wait_until(calls[0].running)
    assert begun.job_id == calls[0].job.id


def test_the_future_of_a_job_that_began_just_before_it_was_cancelled_ends() -> None:
    call = JobFuture(lambda result: result, lambda _: None)
    call.runs()
    call.ends_cancelled()
    with pytest.raises(futures.CancelledError):
        call.result(0)


def give_out_again(number: int) -> None:
    """What a replica or a backup does that never heard of a job: another one has its number."""
    sql("UPDATE jobs SET task_id = gen_random_uuid(), idempotency_key = NULL WHERE id = :id", id=number)


def test_a_future_whose_number_another_job_has_does_not_get_its_result() -> None:
    executor = simcelery.Executor()
    ours = executor.submit(double, 1)
    number = ours.job.id
    give_out_again(number)
    finish(must_claim(simcelery.get_job(number).task_id, worker(), workflow=double.name))
    with pytest.raises(JobNotFoundError, match=f"job {number} is no longer on the board"):
        ours.result(within(10))


def test_nor_is_that_job_cancelled_in_its_place() -> None:
    executor = simcelery.Executor()
    ours, others = executor.submit(double, 1).job, executor.submit(double, 2).job
    give_out_again(ours.id)
    assert actions.cancel_unbegun([ours, others]) == [others.id]
    assert [state(one.id) for one in (ours, others)] == ["pending", "cancelled"]


def test_what_is_just_being_recorded_is_cancelled_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = simcelery.Executor()
    add, recorded = executor._watcher.add, threading.Event()

    def late(calls: Iterable[JobFuture]) -> None:
        recorded.set()
        time.sleep(0.3)
        add(calls)

    monkeypatch.setattr(executor._watcher, "add", late)
    call = executor.submit(double, 1)
    assert recorded.wait(within(10))
    executor.shutdown(wait=False, cancel_futures=True)
    assert state(call.job.id) == "cancelled"
    assert call.cancelled()
