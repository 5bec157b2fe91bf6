"""A worker on which everything fails: kept from taking jobs, and its failures handed back."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from simcelery.board import engine, quarantine, transitions
from simcelery.board.values import EndedAttempt, Recorded
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    attempts,
    cancel,
    claim,
    finish,
    lapse,
    must_claim,
    record,
    registration,
    row,
    settle,
    sql,
    state,
)
from tests.board_helpers import worker as any_worker
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")


def worker(**changes: Any) -> int:
    """A worker that knows the workflow."""
    return any_worker(**({"workflows": ["w"]} | changes))


def enter(worker_id: int, *workflows: str) -> bool:
    with engine.begin() as connection:
        return quarantine.enter(
            connection, registration(worker_id), workflows or ["w"], "everything fails here"
        )


def hand_back(worker_id: int, *task_ids: uuid.UUID, limit: int = 1000) -> list[int]:
    with engine.begin() as connection:
        return [job.id for job in transitions.hand_back(connection, task_ids, registration(worker_id), limit)]


def quarantined_worker() -> int:
    me = worker()
    worker()
    assert enter(me)
    return me


# --- quarantine ------------------------------------------------------------------------------------


def test_a_single_worker_is_never_quarantined() -> None:
    me = worker()
    lapse(worker(), ago=0.0)
    worker(queues=["other"])
    assert not enter(me)
    assert sql("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL") == [(0,)]


def test_at_most_half_of_the_workers_that_could_run_the_jobs_are_quarantined() -> None:
    ids = [worker() for _ in range(5)]
    assert [enter(each) for each in ids] == [True, True, False, False, False]
    assert enter(ids[0])  # it is in quarantine already
    assert sql("SELECT note FROM workers WHERE id = :id", id=ids[0]) == [("everything fails here",)]
    worker()
    assert enter(ids[2])


def test_only_workers_that_share_a_queue_count() -> None:
    me = worker(queues=["a", "b"])
    worker(queues=["b", "c"])
    for _ in range(3):
        sql("UPDATE workers SET quarantined_at = now() WHERE id = :id", id=worker(queues=["c"]))
    assert enter(me)


def test_only_workers_that_know_the_workflow_count() -> None:
    """Those of another project may share the queue: they can run none of these jobs."""
    ids = [worker() for _ in range(3)]
    others = [worker(workflows=["theirs"]) for _ in range(5)]
    assert [enter(each) for each in ids] == [True, False, False]
    for each in others:
        sql("UPDATE workers SET quarantined_at = now() WHERE id = :id", id=each)
    worker()
    assert enter(ids[1])
    lone = worker(workflows=["lone", "theirs"])
    assert not enter(lone, "lone")


def test_of_several_workflows_one_that_enough_others_know_is_enough() -> None:
    me = worker(workflows=["w", "mine"])
    assert not enter(me, "mine", "w")
    worker()
    assert not enter(me, "mine")
    assert enter(me, "mine", "w")


def test_a_worker_that_is_dead_or_unknown_is_not_quarantined() -> None:
    me = worker()
    worker()
    worker()
    lapse(me, ago=0.0)
    assert not enter(me)
    assert not enter(10**9)


def test_workers_that_quarantine_themselves_at_once_leave_half() -> None:
    for number in (2, 3, 5):
        sql("DELETE FROM workers")
        ids = [worker() for _ in range(number)]
        start = threading.Barrier(number)

        def tries(me: int, start: threading.Barrier = start) -> bool:
            start.wait()
            return enter(me)

        with ThreadPoolExecutor(number) as pool:
            assert sum(pool.map(tries, ids)) == number // 2


# --- hand back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("report", "was"), [(ERROR, "failed"), (AGAIN, "scheduled")])
def test_a_failure_that_is_handed_back_does_not_count(report: EndedAttempt, was: str) -> None:
    me = quarantined_worker()
    job = record(max_attempts=2)
    finish(must_claim(job.task_id, me), report)
    assert (state(job.id), row(job.id).failures) == (was, 1)
    assert hand_back(me, job.task_id) == [job.id]
    found = row(job.id)
    assert (found.state, found.failures, found.attempt) == ("pending", 0, 1)
    assert (found.error, found.finished_at, found.run_at, found.published_at) == (None, None, None, None)
    assert sql("SELECT publish_count FROM jobs") == [(0,)]
    assert attempts(job.id)[0]["outcome"] == "failed"  # what happened stays on record
    assert hand_back(me, job.task_id) == []
    assert claim(job.task_id, worker()) is not None


def test_earlier_failures_and_losses_still_count() -> None:
    me, other = quarantined_worker(), worker()
    job = record(max_attempts=2)
    finish(must_claim(job.task_id, other), LOST)
    finish(must_claim(job.task_id, other), AGAIN)
    with engine.begin() as connection:
        transitions.stage(connection, 1000)
    finish(must_claim(job.task_id, me), AGAIN)
    assert (state(job.id), row(job.id).failures) == ("failed", 2)
    assert hand_back(me, job.task_id) == [job.id]
    assert (row(job.id).failures, row(job.id).losses) == (1, 1)


def test_only_the_last_failures_of_that_worker_in_quarantine_are_handed_back() -> None:
    me, healthy = quarantined_worker(), worker()
    of_healthy, unnamed, lost, cancelled, waits, delayed, moved_on = [
        record(max_losses=0, max_attempts=2) for _ in range(5)
    ] + [record(delay=3600.0), record(max_attempts=2)]
    finish(must_claim(of_healthy.task_id, healthy), ERROR)
    finish(must_claim(unnamed.task_id, me), ERROR)
    finish(must_claim(lost.task_id, me), LOST)
    claimed = must_claim(cancelled.task_id, me)
    cancel(cancelled.id)
    finish(claimed, ERROR)
    finish(must_claim(moved_on.task_id, me), AGAIN)
    with engine.begin() as connection:
        transitions.stage(connection, 1000)
    finish(must_claim(moved_on.task_id, healthy), ERROR)
    named = (of_healthy, lost, cancelled, waits, delayed, moved_on)
    before = [row(job.id) for job in named]
    assert hand_back(me, *(job.task_id for job in named)) == []
    assert [row(job.id) for job in named] == before
    assert hand_back(healthy, of_healthy.task_id) == []  # it is not in quarantine


def tries_again(me: int, *ends: EndedAttempt, **options: Any) -> Recorded:
    """A job whose attempts on this worker ended so, one after the other."""
    job = record(**options)
    for end in ends:
        finish(must_claim(job.task_id, me), end)
        with engine.begin() as connection:
            transitions.stage(connection, 1000)
    return job


def test_a_failure_before_a_loss_is_not_handed_back() -> None:
    me = quarantined_worker()
    job = tries_again(me, AGAIN, LOST, max_attempts=2, max_losses=0)
    assert (state(job.id), row(job.id).failures) == ("failed", 1)
    tries_again(me, AGAIN, ERROR, max_attempts=2)  # the second attempt of another job has failed
    assert hand_back(me, job.task_id) == []


def test_a_failure_whose_next_attempt_is_due_is_not_handed_back() -> None:
    me = quarantined_worker()
    job = record(max_attempts=3)
    finish(must_claim(job.task_id, me), AGAIN)
    with engine.begin() as connection:
        transitions.stage(connection, 1000)
    assert hand_back(me, job.task_id) == []
    assert (state(job.id), row(job.id).failures) == ("pending", 1)


def test_the_failures_of_last_are_handed_back_first() -> None:
    me = quarantined_worker()
    jobs = [record() for _ in range(4)]
    for number in (2, 1, 0, 3):
        finish(must_claim(jobs[number].task_id, me), ERROR)
    assert sorted(hand_back(me, *(job.task_id for job in jobs), limit=2)) == [jobs[0].id, jobs[3].id]


def test_of_a_job_only_the_last_failure_takes_a_place_of_those_that_are_handed_back() -> None:
    me, healthy = quarantined_worker(), worker()
    earlier = tries_again(me, ERROR)
    later = tries_again(me, AGAIN, AGAIN, AGAIN, max_attempts=3)
    elsewhere = tries_again(healthy, ERROR)
    named = [job.task_id for job in (earlier, later, elsewhere)]
    assert sorted(hand_back(me, *named, limit=2)) == [earlier.id, later.id]


def test_what_failed_upstream_is_revived_with_what_is_handed_back() -> None:
    me = quarantined_worker()
    top, other = record(), record()
    child = record(parents=[top.id])
    grandchild = record(parents=[child.id])
    torn = record(parents=[top.id, other.id])
    finish(must_claim(top.task_id, me), ERROR)
    finish(must_claim(other.task_id, worker()), ERROR)
    settle()
    with engine.begin() as connection:
        back = transitions.hand_back(connection, [top.task_id], registration(me))
    assert {job.id: job.again is not None for job in back} == {
        top.id: True,  # it is pending and can be sent
        child.id: False,
        grandchild.id: False,
    }
    assert [state(job.id) for job in (top, child, grandchild, torn)] == [
        "pending",
        "blocked",
        "blocked",
        "upstream_failed",
    ]
    finish(must_claim(top.task_id, worker()))
    assert [state(job.id) for job in (child, grandchild)] == ["pending", "blocked"]


def test_a_family_is_locked_in_the_order_of_ids_and_not_level_by_level() -> None:
    me = quarantined_worker()
    first = record()
    child = record(parents=[first.id])  # its id lies between those of the two that are handed back
    second = record()
    for job in (first, second):
        finish(must_claim(job.task_id, me), ERROR)
    settle()
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT id FROM jobs WHERE id = {child.id} FOR UPDATE")
            back = pool.submit(hand_back, me, first.task_id, second.task_id)
            wait_until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
            # Whoever waits for the child does not hold what comes after it: else this would be a circle.
            connection.exec_driver_sql(f"SELECT id FROM jobs WHERE id = {second.id} FOR UPDATE NOWAIT")
        assert sorted(back.result()) == [first.id, child.id, second.id]
