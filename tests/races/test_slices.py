"""Claiming, finishing and putting back several jobs at once."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from simcelery.board import engine, transitions
from simcelery.board.unreadable import mending
from simcelery.board.values import Claim, ClaimRequest, Recorded
from simcelery.needs import Needs
from simcelery.services import Services
from simcelery.worker.child import slicing
from simcelery.worker.child.slicing import Slice
from tests import hostile_rows
from tests.board_helpers import (
    AGAIN,
    ERROR,
    SUCCESS,
    attempts,
    cancel,
    must_claim,
    new_job,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")


def claim_slice(task_id: uuid.UUID, me: int, more: int = 10, pid: int = 100) -> list[Claim]:
    return transitions.claim(
        ClaimRequest(task_id, "w", uuid.uuid4(), registration(me), pid, "default", more=more)
    )


def succeed(*claims: Claim) -> set[int]:
    now = time.monotonic()
    finished = transitions.finish_at_once([SUCCESS.of(one, ended=now) for one in claims])
    return {job.id for job in finished}


def test_a_slice_holds_the_most_urgent_of_the_same_workflow_and_queue() -> None:
    me = worker()
    message = record(priority=1)
    low, high = record(priority=2), record(priority=8)
    record(workflow="other")
    record(queue="elsewhere")
    record(delay=100.0)
    found = claim_slice(message.task_id, me)
    assert [one.job_id for one in found] == [message.id, high.id, low.id]
    assert len({one.claim_id for one in found}) == 3
    assert [one.attempt for one in found] == [1, 1, 1]


def test_where_not_all_fit_into_a_slice_the_most_urgent_do() -> None:
    me, message = worker(), record()
    low, high, middle = record(priority=2), record(priority=8), record(priority=5)
    assert [one.job_id for one in claim_slice(message.task_id, me, more=2)] == [
        message.id,
        high.id,
        middle.id,
    ]
    assert state(low.id) == "pending"


def test_what_does_not_travel_in_a_slice() -> None:
    me = worker()
    message, lost, parent = record(), record(), record()
    record(needs=Needs(memory=2**30))
    for _ in range(11):
        record(parents=[parent.id])
    sql("UPDATE jobs SET losses = 1 WHERE id = :id", id=lost.id)
    assert [one.job_id for one in claim_slice(message.task_id, me)] == [message.id]


def test_who_a_few_others_wait_for_travels_in_a_slice() -> None:
    me, message, parent = worker(), record(), record()
    for _ in range(10):
        record(parents=[parent.id])
    assert [one.job_id for one in claim_slice(message.task_id, me)] == [message.id, parent.id]


@pytest.mark.parametrize("limit", ["time_limit", "soft_time_limit"])
def test_who_has_a_time_limit_travels_in_a_slice(limit: str) -> None:
    me, message, limited = worker(), record(), record()
    sql(f"UPDATE jobs SET {limit} = 60 WHERE id = {limited.id}")
    found = {one.job_id: getattr(one, limit) for one in claim_slice(message.task_id, me)}
    assert found == {message.id: None, limited.id: 60.0}


def test_failures_are_finished_together_each_with_its_own_attempt_and_back_off() -> None:
    me = worker()
    message, *others = [record(max_attempts=2) for _ in range(4)]
    claims = claim_slice(message.task_id, me)
    ends = [AGAIN, ERROR, replace(AGAIN, retry_in=60.0), replace(ERROR, error_message="another")]
    finished = transitions.finish_at_once([end.of(one) for end, one in zip(ends, claims, strict=True)])
    assert [job.state for job in finished] == ["scheduled", "failed", "scheduled", "failed"]
    assert sql("SELECT count(DISTINCT xmin::text) FROM attempts") == [(1,)]
    found = sql(
        "SELECT j.state, j.failures, a.error_message, extract(epoch FROM j.run_at - a.finished_at)::int / 10"
        " FROM jobs j JOIN attempts a ON a.job_id = j.id ORDER BY j.id"
    )
    assert [tuple(one) for one in found] == [
        ("scheduled", 1, "boom", 0),
        ("failed", 1, "boom", None),
        ("scheduled", 1, "boom", 6),
        ("failed", 1, "another", None),
    ]
    assert [job.id for job in finished] == [message.id, *(one.id for one in others)]


def wake(me: int, least: int = 0) -> int | None:
    """The job that a message brings whose own job is gone; in no slice."""
    wanted = ClaimRequest(uuid.uuid4(), "w", uuid.uuid4(), registration(me), 100, "default", least=least)
    claimed = transitions.claim(wanted)
    assert len(claimed) <= 1
    return claimed[0].job_id if claimed else None


def published(job: Recorded, ago: float) -> None:
    sql(
        "UPDATE jobs SET published_at = now() - make_interval(secs => :ago) WHERE id = :id",
        ago=ago,
        id=job.id,
    )


def test_a_message_whose_job_is_gone_still_brings_others() -> None:
    me, first, second = worker(), record(), record()
    assert [one.job_id for one in claim_slice(uuid.uuid4(), me)] == [first.id, second.id]


@pytest.mark.parametrize("kind", ["plain", "losses", "a child"])
def test_it_also_brings_one_that_never_travels_in_a_slice(kind: str) -> None:
    me, lost = worker(), record()
    if kind == "losses":
        sql("UPDATE jobs SET losses = 1")
    if kind == "a child":
        record(parents=[lost.id])
    published(lost, 3600)
    others = [record() for _ in range(3)]
    assert claim_slice(uuid.uuid4(), me)[0].job_id == lost.id
    assert [state(other.id) for other in others] == ["running"] * 3


def test_it_brings_the_most_urgent_first_and_of_these_what_was_sent_longest_ago() -> None:
    me = worker()
    unsent, sent, older, urgent = record(), record(), record(), record(priority=8)
    published(sent, 10)
    published(older, 20)
    record(workflow="other", priority=9)
    record(queue="elsewhere", priority=9)
    record(delay=100.0, priority=9)
    assert [wake(me) for _ in range(5)] == [urgent.id, older.id, sent.id, unsent.id, None]


def test_a_message_of_an_urgent_lane_brings_nothing_less_urgent_before_the_jobs_of_others() -> None:
    me, low = worker(), record(priority=3)
    assert wake(me, least=4) is None
    assert wake(me, least=3) == low.id


def test_two_messages_at_once_bring_two_jobs() -> None:
    me, jobs_there = worker(), [record() for _ in range(40)]
    start, found = threading.Barrier(8), []

    def take() -> None:
        start.wait()
        found.extend(wake(me) for _ in range(5))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while (left := wake(me)) is not None:  # a row that another claim looks at is passed over
        found.append(left)
    assert sorted(filter(None, found)) == [job.id for job in jobs_there]


@pytest.mark.slow
def test_a_slice_holds_no_more_parameters_than_fit_into_memory() -> None:
    me, message = worker(), record()
    large = {"text": random.randbytes(400_000).hex()}
    for _ in range(12):
        record(parameters=large)
    claimed = claim_slice(message.task_id, me, more=100)
    assert 3 < len(claimed) < 12


def test_without_a_lease_nothing_is_claimed() -> None:
    me, message, other = worker(lease=-1.0), record(), record()
    assert claim_slice(message.task_id, me) == []
    assert [state(message.id), state(other.id)] == ["pending", "pending"]


@pytest.mark.slow
def test_two_children_never_claim_the_same_job() -> None:
    me = worker()
    with engine.begin() as connection:
        recorded = transitions.record(connection, [new_job() for _ in range(300)])
    start, found = threading.Barrier(4), []

    def take(pid: int) -> None:
        start.wait()
        for job in recorded[pid::4]:
            found.extend(claim_slice(job.task_id, me, more=5, pid=pid + 1))

    threads = [threading.Thread(target=take, args=(pid,)) for pid in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.job_id for one in found) == sorted(job.id for job in recorded)


def test_an_answer_that_was_lost_is_found_again_for_the_whole_slice() -> None:
    me, message = worker(), record()
    others = [record() for _ in range(3)]
    wanted = ClaimRequest(message.task_id, "w", uuid.uuid4(), registration(me), 100, "default", more=10)
    claimed = transitions.claim(wanted)
    assert [one.job_id for one in claimed] == [message.id, *(other.id for other in others)]
    assert transitions.forgotten(wanted) == claimed
    assert transitions.forgotten(replace(wanted, pid=101)) == []


def test_a_slice_succeeds_in_one_statement_each_job_with_its_own_times() -> None:
    me, message = worker(), record()
    record()
    first, second = claim_slice(message.task_id, me)
    sql("UPDATE jobs SET started_at = now() - interval '10 s'")
    now = time.monotonic()
    printed = replace(SUCCESS, log="printed", cpu_seconds=0.5)
    outcomes = [
        printed.of(first, waited=0.0, ended=now - 7),
        SUCCESS.of(second, waited=3.0, ended=now - 1),
    ]
    assert [job.id for job in transitions.finish_at_once(outcomes)] == [first.job_id, second.job_id]
    spans = sql("SELECT round(extract(epoch FROM finished_at - started_at)) FROM jobs ORDER BY id")
    assert [int(span) for (span,) in spans] == [3, 6]
    assert sql("SELECT job_id, text FROM log_chunks") == [(first.job_id, "printed")]
    [ended] = attempts(first.job_id)
    assert (ended["outcome"], ended["cpu_seconds"], ended["started_at"]) == (
        "succeeded",
        0.5,
        row(first.job_id).started_at,
    )


def test_each_job_of_a_slice_is_fenced_by_its_own_claim() -> None:
    me, message = worker(), record()
    record()
    first, second = claim_slice(message.task_id, me)
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    newer = must_claim(second.task_id, me)
    assert succeed(first, second) == {first.job_id}  # it waits again, and a late success is one
    assert [one["late_outcome"] for one in attempts(first.job_id)] == [{"accepted_after": "released"}]
    assert succeed(second) == set()
    assert succeed(newer) == {second.job_id}


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "in a slice"])
def test_a_child_recorded_while_its_parent_ends_is_seen(others: int) -> None:
    """The recorder holds the parent; the finish waits for it, and then must not overlook the new edge."""
    me, parent, *beside = worker(), *(record() for _ in range(1 + others))
    claims = [must_claim(job.task_id, me) for job in (parent, *beside)]
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            [child] = transitions.record(connection, [new_job(parents=[parent.id])])
            done = pool.submit(transitions.finish_at_once, [SUCCESS.of(one) for one in claims])
            wait_until(lambda: sql("SELECT FROM pg_locks WHERE NOT granted"))
            assert not done.done()
        finished = done.result()
    assert [job.id for job in finished] == [parent.id, *(job.id for job in beside)]
    assert [job.id for job in finished[0].unblocked] == [child.id]


def test_what_was_not_begun_goes_back_without_an_attempt() -> None:
    me, message = worker(), record()
    asked = record()
    first, second = claim_slice(message.task_id, me)
    cancel(asked.id)
    transitions.put_back([first, second])
    assert [state(first.job_id), state(second.job_id)] == ["pending", "cancelled"]
    assert [row(first.job_id).attempt, attempts(first.job_id), attempts(second.job_id)] == [0, [], []]
    again = must_claim(first.task_id, me)
    transitions.put_back([first])  # too late: it has another claim
    assert state(again.job_id) == "running"


@pytest.mark.parametrize("back", [slicing._put_back, lambda claims: Slice(claims).flush()])
def test_what_a_bad_row_keeps_from_going_back_is_put_right_first(
    board: Services, back: Callable[[list[Claim]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was claimed while the board had no CHECKs; now it refuses every change, for all of them."""
    monkeypatch.setattr(mending, "_not_before", 0.0)
    me, message, bad = worker(), record(), record()
    with hostile_rows.without_checks(board.database_url):
        sql("UPDATE jobs SET max_attempts = -1 WHERE id = :id", id=bad.id)
        claims = claim_slice(message.task_id, me)
    back(claims)
    assert [state(message.id), state(bad.id)] == ["pending", "pending"]
    assert sql("SELECT max_attempts FROM jobs WHERE id = :id", id=bad.id) == [(1,)]


def test_what_others_have_to_run_comes_again_later_without_an_attempt() -> None:
    me, job, asked = worker(), record(), record()
    first, second = must_claim(job.task_id, me), must_claim(asked.task_id, me)
    cancel(asked.id)
    for one in (first, second):
        transitions.set_aside(one, "has another version")
    assert [state(job.id), state(asked.id)] == ["scheduled", "cancelled"]
    assert (row(job.id).attempt, attempts(job.id)) == (0, [])
    [(seconds, why)] = sql(
        "SELECT extract(epoch FROM run_at - now()), error_message FROM jobs WHERE id = :id", id=job.id
    )
    assert 0 < seconds <= 1
    assert why.endswith(" has another version")
    assert len(why.split()) == 4
    sql("UPDATE jobs SET run_at = now() - interval '1 s', submitted_at = now() - interval '1 day'")
    with engine.begin() as connection:
        transitions.stage(connection, 10)
    again = must_claim(job.task_id, me)
    transitions.set_aside(first, "is too late")  # it has another claim
    assert state(job.id) == "running"
    transitions.set_aside(again, "has another version")
    [(seconds,)] = sql("SELECT extract(epoch FROM run_at - now()) FROM jobs WHERE id = :id", id=job.id)
    assert 25 < seconds <= 30


def test_of_a_dead_child_all_goes_back_but_the_job_that_ran() -> None:
    me, message = worker(), record()
    other, foreign = record(), record()
    must_claim(foreign.task_id, me, pid=101)
    ran, _ = claim_slice(message.task_id, me)
    with engine.begin() as connection:
        released = transitions.release_child(connection, registration(me), 100, ran.claim_id)
    assert [job.id for job in released] == [other.id]
    assert [state(number) for number in (message.id, other.id, foreign.id)] == [
        "running",
        "pending",
        "running",
    ]
    assert sql("SELECT sum(losses) FROM jobs") == [(0,)]
    [ended] = attempts(other.id)
    assert (ended["outcome"], ended["cause"]) == ("released", "worker_lost")
    assert ended["error_message"] == "its pool child died while it ran another job of the slice"
