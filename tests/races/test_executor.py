"""What an executor cancels because it has not begun, while a worker holds it in a slice."""

from __future__ import annotations

import uuid
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import pytest

import simcelery
from simcelery import workflow
from simcelery.board import transitions
from simcelery.board.values import Claim, ClaimRequest
from simcelery.submission.futures import JobFuture
from tests.board_helpers import registration, state, worker
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
