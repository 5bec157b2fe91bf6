"""Parents that finish while children are recorded, and while each other finish."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, text

from simcelery.board import engine, transitions
from simcelery.board.transitions.settle import Place, Settled
from simcelery.board.values import Claim, Recorded
from simcelery.errors import JobNotFoundError
from simcelery.maintenance.settle import tick as walk
from simcelery.services import Services
from tests.board_helpers import (
    ERROR,
    SUCCESS,
    cancel,
    finish,
    must_claim,
    new_job,
    record,
    row,
    settle,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


@pytest.mark.slow
def test_two_parents_that_finish_at_once_unblock_their_child_once() -> None:
    me = worker()
    for _ in range(10):
        parents = [record(), record()]
        child = record(parents=[parent.id for parent in parents])
        claims = [must_claim(parent.task_id, me) for parent in parents]
        start = threading.Barrier(2)

        def end(claimed: Claim, start: threading.Barrier = start) -> int:
            start.wait()
            finished = finish(claimed)
            assert finished is not None
            return len(finished.unblocked)

        with ThreadPoolExecutor(2) as pool:
            unblocked = list(pool.map(end, claims))
        assert sorted(unblocked) == [0, 1]
        assert (state(child.id), row(child.id).unmet) == ("pending", 0)


def test_a_success_that_is_reported_twice_is_counted_once() -> None:
    me = worker()
    parents = [record(), record()]
    child = record(parents=[parent.id for parent in parents])
    success = SUCCESS.of(must_claim(parents[0].task_id, me))
    assert [len(transitions.finish_at_once([success])) for _ in range(2)] == [1, 0]
    assert (state(child.id), row(child.id).unmet) == ("blocked", 1)


def test_a_parent_cannot_finish_unseen_while_its_child_is_recorded() -> None:
    me = worker()
    parent = record()
    claimed = must_claim(parent.task_id, me)
    done = threading.Event()

    def end() -> None:
        finish(claimed)
        done.set()

    thread = threading.Thread(target=end)
    with engine.begin() as connection:
        [child] = transitions.record(connection, [new_job(parents=[parent.id])])
        thread.start()
        wait_until(_somebody_waits_for_a_lock)
        assert not done.is_set()  # the finish waits for the recorder
    thread.join()
    assert state(child.id) == "pending"


def test_what_fell_names_the_job_at_the_root_and_what_to_do() -> None:
    me = worker()
    root = record()
    child = record(parents=[root.id])
    grandchild = record(parents=[child.id])
    cancelled = record()
    other = record(parents=[cancelled.id])
    finish(must_claim(root.task_id, me), ERROR)
    cancel(cancelled.id)
    settle()
    told = f"job {root.id} (w) failed: ValueError: boom; to run it again, with all jobs that depend on it: "
    told += f"simcelery retry {root.id}"
    for number in (child.id, grandchild.id):
        assert state(number) == "upstream_failed"
        assert (row(number).error_type, row(number).error_message) == ("UpstreamFailedError", told)
        assert row(number).finished_at is not None
    assert f"job {cancelled.id} (w) was cancelled; " in (row(other.id).error_message or "")


def _somebody_waits_for_a_lock() -> bool:
    with engine.begin() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_what_falls_has_told_its_dependents_only_if_it_has_none() -> None:
    """So that a worker that dies here leaves them to the next walk."""
    parent = record()
    child = record(parents=[parent.id])
    grandchild = record(parents=[child.id])
    finish(must_claim(parent.task_id, worker()), ERROR)
    for fallen, told in ((child, False), (grandchild, True)):
        with engine.begin() as connection:
            assert transitions.settle(connection, 1000).failed == [fallen.id]
        [found] = sql("SELECT settled_at IS NOT NULL AS told FROM jobs WHERE id = :id", id=fallen.id)
        assert found.told == told


def test_a_walk_of_recovery_goes_down_to_the_last_descendant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcelery.maintenance.settle.LONGEST_ACT", 60.0)  # else a busy machine cuts it
    family = [record()]
    for _ in range(3):
        family.append(record(parents=[family[-1].id]))
    finish(must_claim(family[0].task_id, worker()), ERROR)
    assert walk() == 3
    assert {state(job.id) for job in family[1:]} == {"upstream_failed"}


def test_a_child_of_finished_parents_is_pending_at_once() -> None:
    me = worker()
    parent = record()
    finish(must_claim(parent.task_id, me))
    child = record(parents=[parent.id])
    assert state(child.id) == "pending"


def test_a_child_recorded_after_its_parent_failed_fails_upstream() -> None:
    me = worker()
    parent = record()
    finish(must_claim(parent.task_id, me), ERROR)
    child = record(parents=[parent.id])
    assert state(child.id) == "blocked"
    with engine.begin() as connection:
        transitions.settle(connection, 1000)
    assert state(child.id) == "upstream_failed"


@pytest.mark.slow
def test_settle_and_retry_at_once_leave_no_child_behind() -> None:
    me = worker()
    for _ in range(5):
        parent = record()
        with engine.begin() as connection:
            children = transitions.record(connection, [new_job(parents=[parent.id]) for _ in range(50)])
        finish(must_claim(parent.task_id, me), ERROR)
        start = threading.Barrier(2)

        def settle(start: threading.Barrier = start) -> None:
            start.wait()
            with engine.begin() as connection:
                transitions.settle(connection, 1000)

        def retry(start: threading.Barrier = start, parent: int = parent.id) -> None:
            start.wait()
            with engine.begin() as connection:
                transitions.retry(connection, [parent], by="test")

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(settle), pool.submit(retry)]:
                done.result()
        finish(must_claim(parent.task_id, me), SUCCESS)
        assert {state(child.id) for child in children} == {"pending"}


def test_settle_walks_all_descendants_in_bounded_steps() -> None:
    me = worker()
    top = record()
    with engine.begin() as connection:
        children = transitions.record(connection, [new_job(parents=[top.id]) for _ in range(25)])
        grandchild = transitions.record(connection, [new_job(parents=[job.id for job in children])])[0]
    finish(must_claim(top.task_id, me), ERROR)
    steps, place = [], None
    while True:
        with engine.begin() as connection:
            step = transitions.settle(connection, 10, place)
        place = step.place
        steps.append(len(step.failed))
        if not step.more:
            break
    assert sum(steps) == 26
    assert max(steps) <= 10
    assert state(grandchild.id) == "upstream_failed"
    assert row(grandchild.id).attempt == 0


def test_parents_that_are_left_for_later_keep_no_other_from_being_told() -> None:
    """However many wait for them: what is asked about the others is not cut off by theirs."""
    me = worker()
    *many, few = parents = [record() for _ in range(3)]
    for parent in many:
        for _ in range(11):
            record(parents=[parent.id])
    child = record(parents=[few.id])
    for parent in parents:
        finish(must_claim(parent.task_id, me), ERROR)
    with engine.begin() as connection:
        left = Place(left=frozenset(parent.id for parent in many))
        assert transitions.settle(connection, 10, left).failed == [child.id]


def test_settle_repairs_a_job_that_was_left_blocked() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id])
    finish(must_claim(parent.task_id, me))
    with engine.begin() as connection:  # as if the unblocking had been lost
        connection.execute(
            text("UPDATE jobs SET state = 'blocked', unmet = 1 WHERE id = :id"), {"id": child.id}
        )
        repaired = transitions.settle(connection, 1000)
    assert [job.id for job in repaired.ready] == [child.id]
    assert (state(child.id), row(child.id).unmet) == ("pending", 0)
    ended = "finished_at, settled_at, error_type, error_message"
    assert sql(f"SELECT {ended} FROM jobs WHERE id = :id", id=child.id) == [(None, None, None, None)]


def settled() -> list[transitions.Settled]:
    """All steps of settle until there is nothing more to do, ten rows each."""
    steps = []
    while not steps or steps[-1].more:
        with engine.begin() as connection:
            steps.append(transitions.settle(connection, 10, steps[-1].place if steps else None))
    return steps


def test_each_step_of_a_walk_goes_on_where_the_one_before_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Place | None] = []

    def step(connection: Connection, limit: int, place: Place | None) -> Settled:
        asked.append(place)
        return Settled([], [], len(asked) < 3, Place(parent=len(asked)), [])

    monkeypatch.setattr(transitions, "settle", step)
    assert walk() == 0
    assert asked == [None, Place(parent=1), Place(parent=2)]


def test_a_finish_unblocks_the_first_children_and_settle_the_others() -> None:
    me = worker()
    parent, other, done = record(), record(), record()
    with engine.begin() as connection:
        recorded = transitions.record(connection, [new_job(parents=[parent.id]) for _ in range(2003)])
        both = transitions.record(connection, [new_job(parents=[parent.id, other.id])])[0]
    claims = [must_claim(one.task_id, me) for one in (parent, done)]
    finished, _ = transitions.finish_at_once([SUCCESS.of(one) for one in claims])
    first = [job.id for job in finished.unblocked]
    assert sorted(first) == [job.id for job in recorded[:2000]]
    finish(must_claim(other.task_id, me))
    assert (state(both.id), row(both.id).unmet) == ("blocked", 1)
    steps = settled()
    ready = [job.id for step in steps for job in step.ready]
    assert sorted(ready) == sorted(job.id for job in [*recorded[2000:], both])
    assert max(len(step.ready) for step in steps) <= 10
    assert {row(number).unmet for number in ready} == {0}
    assert [step[:3] for step in settled()] == [([], [], False)]


def test_a_parent_that_is_left_to_settle_is_counted_once() -> None:
    me = worker()
    parent, other = record(), record()
    with engine.begin() as connection:
        jobs = transitions.record(connection, [new_job(parents=[parent.id, other.id]) for _ in range(2001)])
    first, last = jobs[0], jobs[-1]
    finished = finish(must_claim(parent.task_id, me))
    assert finished is not None
    assert finished.unblocked == ()
    assert [row(job.id).unmet for job in (first, last)] == [1, 2]
    settle()
    assert [row(job.id).unmet for job in (first, last)] == [1, 1]
    assert {state(first.id), state(last.id)} == {"blocked"}
    finish(must_claim(other.task_id, me))
    settle()
    assert {state(first.id), state(last.id)} == {"pending"}


@pytest.mark.parametrize("held", [False, True], ids=["", "one is held"])
def test_dependents_that_wait_for_another_parent_too_hide_nobody(board: Services, held: bool) -> None:
    """Not those behind them, nor those of parents behind theirs; and a walk over them comes to an end."""
    parent, other, failed = record(), record(), record()
    both = [record(parents=[parent.id, other.id]) for _ in range(25)]
    last = record(parents=[parent.id])
    fallen = [record(parents=[failed.id]) for _ in range(25)]
    must_claim(parent.task_id, worker())
    # As the finish of one that more than 2,000 wait for leaves it.
    sql(
        "UPDATE jobs SET state = 'succeeded', finished_at = now(), settled_at = 'epoch' WHERE id = :id",
        id=parent.id,
    )
    fail(failed)
    with psycopg.connect(board.database_url) as holder:
        if held:
            holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [both[3].id])
        settled()
        holder.rollback()
    assert state(last.id) == "pending"
    assert {state(job.id) for job in fallen} == {"upstream_failed"}
    assert [row(job.id).unmet for job in both] == [2 if held and n == 3 else 1 for n in range(25)]
    [(told,)] = sql("SELECT settled_at >= finished_at FROM jobs WHERE id = :id", id=parent.id)
    assert told != held
    settled()
    assert {row(job.id).unmet for job in both} == {1}


def test_parents_that_finish_together_are_counted_each_and_unblock_their_child_once() -> None:
    me, parents, other = worker(), [record() for _ in range(3)], record()
    both = record(parents=[one.id for one in parents])
    waits = record(parents=[parents[0].id, parents[2].id, other.id])
    later = record(parents=[parents[1].id], delay=3600.0)
    claims = [must_claim(one.task_id, me) for one in parents]
    finished = transitions.finish_at_once([SUCCESS.of(one) for one in claims])
    assert [[job.id for job in one.unblocked] for one in finished] == [[], [], [both.id]]
    assert [state(one.id) for one in (both, waits, later)] == ["pending", "blocked", "scheduled"]
    assert [row(one.id).unmet for one in (both, waits, later)] == [0, 1, 0]
    assert transitions.finish_at_once([SUCCESS.of(one) for one in claims]) == []  # it came twice
    assert row(waits.id).unmet == 1


def test_of_parents_that_finish_together_one_that_was_given_up_is_not_counted() -> None:
    me, parents = worker(), [record(), record()]
    child = record(parents=[one.id for one in parents])
    claims = [must_claim(one.task_id, me) for one in parents]
    cancel(parents[1].id)
    finish(claims[1], ERROR)
    [finished] = transitions.finish_at_once([SUCCESS.of(one) for one in claims])
    assert (finished.id, finished.unblocked) == (parents[0].id, ())
    assert (state(child.id), row(child.id).unmet) == ("blocked", 1)


# --- in steps ---------------------------------------------------------------------------------------


def fail(*jobs: Recorded) -> None:
    me = worker()
    for job in jobs:
        finish(must_claim(job.task_id, me), ERROR)


def in_steps(limit: int) -> list[int]:
    """How many fell at each step, until there is nothing more to do."""
    fell, place = [], None
    while True:
        with engine.begin() as connection:
            step = transitions.settle(connection, limit, place)
        place = step.place
        fell.append(len(step.failed))
        assert passed_over() == []
        assert len(fell) < 40
        if not step.more:
            return fell


def passed_over() -> list[int]:
    """Jobs still blocked by one that did not succeed and is noted as having told all its dependents."""
    rows = sql(
        "SELECT dependent.id FROM jobs AS parent JOIN dependencies AS edge ON edge.parent_id = parent.id"
        " JOIN jobs AS dependent ON dependent.id = edge.job_id AND dependent.state = 'blocked'"
        " WHERE parent.state <> 'succeeded' AND parent.settled_at BETWEEN parent.finished_at AND now()"
    )
    return [number for (number,) in rows]


def unsettled() -> list[int]:
    """Jobs that did not succeed, and are not noted as having told their dependents."""
    rows = sql(
        "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND settled_at IS NULL AND state <> 'succeeded'"
    )
    return [number for (number,) in rows]


@pytest.mark.parametrize("limit", range(1, 13))
def test_whatever_the_steps_are_every_dependent_is_told_and_no_parent_is_left(limit: int) -> None:
    parents = [record() for _ in range(4)]
    for parent, number in zip(parents, (3, 1, 5, 2), strict=True):
        for _ in range(number):
            record(parents=[parent.id])
    fail(*parents)
    fell = in_steps(limit)
    assert sum(fell) == 11
    assert max(fell) <= limit
    assert fell[0] == 11 or limit < 11
    assert unsettled() == []
    assert in_steps(limit) == [0]


@pytest.mark.parametrize("limit", [1, 3])
def test_dependents_that_two_parents_share_hide_nobody_elses(limit: int) -> None:
    first, second, third = (record() for _ in range(3))
    for _ in range(4):
        record(parents=[first.id, second.id])
    others = [record(parents=[third.id]) for _ in range(5)]
    fail(first, second, third)
    assert sum(in_steps(limit)) == 9
    assert {state(job.id) for job in others} == {"upstream_failed"}
    assert unsettled() == []


def test_parents_without_dependents_are_noted_however_many_they_are() -> None:
    fail(*(record() for _ in range(5)))
    sql("UPDATE jobs SET settled_at = NULL")
    in_steps(2)
    assert unsettled() == []


def test_what_succeeded_is_not_looked_at() -> None:
    job = record()
    finish(must_claim(job.task_id, worker()), SUCCESS)
    sql("UPDATE jobs SET settled_at = NULL")
    in_steps(10)
    assert sql("SELECT settled_at FROM jobs") == [(None,)]


@pytest.mark.parametrize("at", ["first", "last"])
def test_who_was_forgotten_is_found_wherever_the_look_begins(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = record()
    children = [record(parents=[parent.id]) for _ in range(3)]
    fail(parent)
    sql("UPDATE jobs SET settled_at = now() + interval '1 s' WHERE id = :id", id=parent.id)
    monkeypatch.setattr("random.randint", lambda low, high: low if at == "first" else high)
    assert sum(in_steps(10)) == 3
    assert {state(job.id) for job in children} == {"upstream_failed"}


@pytest.mark.parametrize("held", ["parent", "child"])
def test_it_waits_for_nobody_and_comes_back_to_what_was_held(board: Services, held: str) -> None:
    parent, other = record(), record()
    child, others = record(parents=[parent.id]), record(parents=[other.id])
    fail(parent, other)
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        number = parent.id if held == "parent" else child.id
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [number])
        done = pool.submit(in_steps, 10)
        try:
            assert sum(done.result(within(20))) == 1
        finally:
            holder.rollback()
    assert (state(child.id), state(others.id)) == ("blocked", "upstream_failed")
    assert unsettled() == [parent.id]
    assert sum(in_steps(10)) == 1
    assert (state(child.id), unsettled()) == ("upstream_failed", [])


def test_a_step_full_of_parents_whose_dependents_are_held_is_the_last(board: Services) -> None:
    """Or it would come again and again until they are let go."""
    parent = record()
    child = record(parents=[parent.id])
    fail(parent)
    with psycopg.connect(board.database_url) as holder, engine.begin() as connection:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [child.id])
        assert transitions.settle(connection, 1)[:3] == ([], [], False)


def test_a_parent_to_which_a_dependent_is_being_added_is_not_passed_over(board: Services) -> None:
    parent = record()
    child = record(parents=[parent.id])
    fail(parent)
    with psycopg.connect(board.database_url) as holder:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR KEY SHARE", [parent.id])
        assert sum(in_steps(10)) == 1
        assert unsettled() == []
        holder.rollback()
    assert state(child.id) == "upstream_failed"


def test_what_failed_again_after_a_retry_is_settled_again() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id])
    for _ in range(2):
        finish(must_claim(parent.task_id, me), ERROR)
        assert [step.failed for step in settled() if step.failed] == [[child.id]]
        with engine.begin() as connection:
            transitions.retry(connection, [parent.id], by="test")
        assert state(child.id) == "blocked"


def test_a_blocked_job_with_a_time_is_scheduled_when_its_parents_are_done() -> None:
    me = worker()
    parent = record()
    child = record(parents=[parent.id], delay=3600.0)
    finish(must_claim(parent.task_id, me), SUCCESS)
    assert state(child.id) == "scheduled"


def test_a_parent_that_is_not_on_the_board_is_an_error_and_nothing_is_recorded() -> None:
    with pytest.raises(JobNotFoundError, match="no job 999999"):
        record(parents=[999999])
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM jobs")) == 0
