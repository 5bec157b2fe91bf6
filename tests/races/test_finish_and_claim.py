"""What a pool child runs next, claimed by the statement that finishes what it ran before."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from simcelery.board import engine, limits, shares, transitions
from simcelery.board.values import Claim, ClaimRequest, FinishedJob
from simcelery.errors import RefusedByBoardError
from tests.board_helpers import (
    ERROR,
    SUCCESS,
    attempts,
    claim,
    lapse,
    must_claim,
    new_job,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)

pytestmark = pytest.mark.usefixtures("board")


def wanted(me: int, least: int = 0, more: int = 0, pid: int = 100) -> ClaimRequest:
    """Whatever comes first in the lane."""
    return ClaimRequest(None, "w", uuid.uuid4(), registration(me), pid, "default", least, more)


def go_on(
    *claims: Claim, me: int, least: int = 0, more: int = 0, pid: int = 100
) -> tuple[list[FinishedJob], list[int]]:
    """Succeed, and claim; what was finished, and the ids of what was claimed."""
    ended = [SUCCESS.of(one) for one in claims]
    finished, claimed = transitions.finish_and_claim(ended, wanted(me, least, more, pid))
    return finished, [one.job_id for one in claimed]


def test_both_are_one_transaction() -> None:
    me, first, second = worker(), record(), record()
    finished, claimed = go_on(must_claim(first.task_id, me), me=me)
    assert ([job.id for job in finished], claimed) == ([first.id], [second.id])
    assert [state(first.id), state(second.id)] == ["succeeded", "running"]
    assert sql("SELECT worker_id, pid, attempt FROM jobs WHERE state = 'running'") == [(me, 100, 1)]
    assert sql("SELECT count(DISTINCT xmin::text) FROM jobs") == [(1,)]


def test_what_comes_first_is_the_most_urgent_of_its_workflow_and_queue() -> None:
    me, first = worker(), record(priority=4)
    held = must_claim(first.task_id, me)
    record(priority=3)  # less urgent than the lane that the message came from
    record(priority=9, workflow="other")
    record(priority=9, queue="elsewhere")
    usual, urgent = record(priority=4), record(priority=6)
    _, claimed = go_on(held, me=me, least=4)
    assert claimed == [urgent.id]
    _, claimed = go_on(*transitions.forgotten(wanted(me)), me=me, least=4)
    assert claimed == [usual.id]
    assert go_on(*transitions.forgotten(wanted(me)), me=me, least=4)[1] == []


def test_others_travel_with_it() -> None:
    me, first = worker(), record()
    held = must_claim(first.task_id, me)
    others = [record().id for _ in range(5)]
    assert go_on(held, me=me, more=3)[1] == others[:4]


def test_a_job_that_the_finish_unblocks_can_be_claimed_by_it() -> None:
    me, parent = worker(), record()
    child = record(parents=[parent.id])
    [finished], claimed = go_on(must_claim(parent.task_id, me), me=me)
    assert ([job.id for job in finished.unblocked], claimed) == ([child.id], [child.id])
    assert row(child.id).started_at >= row(parent.id).finished_at


def test_failures_are_finished_with_a_claim_as_well() -> None:
    me, first, second = worker(), record(), record()
    [finished], [claimed] = transitions.finish_and_claim(
        [ERROR.of(must_claim(first.task_id, me))], wanted(me)
    )
    assert (finished.state, claimed.job_id) == ("failed", second.id)


def test_a_worker_whose_lease_has_expired_still_finishes_but_claims_nothing() -> None:
    me, first, second = worker(), record(), record()
    held = must_claim(first.task_id, me)
    lapse(me)
    [finished], claimed = go_on(held, me=me)
    assert (finished.id, claimed, state(second.id)) == (first.id, [], "pending")


def test_what_was_taken_back_is_not_finished_and_keeps_nothing_from_being_claimed() -> None:
    me, first, second = worker(), record(), record()
    held = must_claim(first.task_id, me)
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    newer = must_claim(first.task_id, me, pid=101)
    assert go_on(held, me=me) == ([], [second.id])
    assert sql("SELECT claim_id FROM jobs WHERE id = :id", id=first.id) == [(newer.claim_id,)]
    assert [one["outcome"] for one in attempts(first.id)] == ["released"]


def test_if_nothing_can_be_claimed_since_a_statement_fails_nothing_is_finished_either() -> None:
    me, first = worker(), record()
    record()
    held = must_claim(first.task_id, me)
    sql("ALTER TABLE jobs ADD CONSTRAINT broken CHECK (state <> 'running' OR id = " + f"{first.id})")
    try:
        with pytest.raises(RefusedByBoardError):
            go_on(held, me=me)
        assert (state(first.id), attempts(first.id)) == ("running", [])
    finally:
        sql("ALTER TABLE jobs DROP CONSTRAINT broken")


def test_the_place_of_a_limit_that_one_leaves_is_the_next_ones_and_never_two() -> None:
    with engine.begin() as connection:
        limits.put(connection, {"workflow:w": 2}, "test")
    me, jobs = worker(), [record() for _ in range(6)]
    held = [must_claim(job.task_id, me, pid=pid) for pid, job in enumerate(jobs[:2], 100)]
    assert claim(jobs[2].task_id, me, pid=102) is None
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda one: go_on(one, me=me, pid=row(one.job_id).pid), held))
    taken = [number for _, claimed in ends for number in claimed]
    assert len(taken) == len(set(taken)) == 2
    assert sql("SELECT count(*) FROM jobs WHERE state = 'running'") == [(2,)]


def test_a_limit_of_the_host_is_not_exceeded_by_going_on() -> None:
    with engine.begin() as connection:
        limits.put(connection, {"host:*": 1}, "test")
    me, first, second = worker(), record(), record()
    held = must_claim(first.task_id, me)
    assert claim(second.task_id, me, pid=101) is None
    assert go_on(held, me=me)[1] == [second.id]
    third = record()
    assert claim(third.task_id, me, pid=101) is None


def test_in_a_shared_queue_it_is_the_turn_of_whoever_has_the_fewest_running() -> None:
    with engine.begin() as connection:
        shares.share(connection, "default", "tag", "test")
    me, mine = worker(), [record(tags=["many"]) for _ in range(4)]
    held = must_claim(mine[0].task_id, me)
    must_claim(mine[1].task_id, me, pid=101)
    theirs = record(tags=["few"])
    assert go_on(held, me=me)[1] == [theirs.id]


def test_two_that_go_on_at_once_take_different_jobs() -> None:
    me, jobs = worker(), [record() for _ in range(40)]
    held = [must_claim(job.task_id, me, pid=pid) for pid, job in enumerate(jobs[:4], 100)]

    def goes_on(one: Claim) -> list[int]:
        pid, done = row(one.job_id).pid, []
        while True:
            ended = [SUCCESS.of(one)]
            _, claimed = transitions.finish_and_claim(ended, wanted(me, pid=pid))
            done.append(one.job_id)
            if not claimed:
                return done
            [one] = claimed

    with ThreadPoolExecutor(4) as pool:
        done = [number for some in pool.map(goes_on, held) for number in some]
    assert sorted(done) == [job.id for job in jobs]
    assert sql("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'") == [(40,)]


def test_a_dependent_is_unblocked_once_by_two_parents_that_end_at_once() -> None:
    me, parents = worker(), [record(), record()]
    with engine.begin() as connection:
        [child] = transitions.record(connection, [new_job(parents=[one.id for one in parents])])
    held = [must_claim(one.task_id, me, pid=pid) for pid, one in enumerate(parents, 100)]
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda one: go_on(one, me=me, pid=row(one.job_id).pid), held))
    assert [number for _, claimed in ends for number in claimed] == [child.id]
    assert sum(len(job.unblocked) for finished, _ in ends for job in finished) == 1
