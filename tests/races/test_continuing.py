"""Jobs that go on in others, whose results become theirs."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from simcelery import failpoints
from simcelery.board import engine, transitions
from simcelery.board.transitions import continuing
from simcelery.board.values import Claim, EndedAttempt, FinishedJob, Recorded
from simcelery.errors import StateError
from simcelery.services import Services
from simcelery.worker.outcomes import gone_on
from simcelery.worker.outcomes.finish import write_all
from tests.board_helpers import (
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    cancel,
    finish,
    lapse,
    must_claim,
    new_job,
    record,
    retry,
    row,
    settle,
    sql,
    state,
    states,
    worker,
)
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


@pytest.fixture(autouse=True)
def in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told at once is told on a busy machine, too."""
    monkeypatch.setattr(gone_on, "_LONGEST", within(20))


def then(**changes: Any) -> EndedAttempt:
    """The end of an attempt whose job goes on."""
    return replace(SUCCESS, result=None, then=new_job(**changes))


def go_on(job: Recorded, **changes: Any) -> int:
    """Run a job, which goes on in another one; that one's id."""
    finished = finish(must_claim(job.task_id, worker()), then(**changes))
    assert finished is not None
    assert finished.state == "blocked"
    [[number]] = sql("SELECT parent_id FROM dependencies WHERE job_id = :id AND kind = 'then'", id=job.id)
    return int(number)


def end(number: int, how: EndedAttempt = SUCCESS) -> FinishedJob | None:
    return finish(must_claim(row(number).task_id, worker()), how)


def test_its_result_is_that_of_the_job_in_which_it_goes_on() -> None:
    job = record()
    waits = record(parents=[job.id])
    finished = finish(must_claim(job.task_id, worker()), then(workflow="other", tags=["a"]))
    assert finished is not None
    [following] = finished.unblocked
    assert (following.workflow, row(following.id).parent_id) == ("other", job.id)
    now = row(job.id)
    assert (now.state, now.unmet, now.result, now.finished_at) == ("blocked", 1, None, None)
    assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]
    finish(must_claim(following.task_id, worker(), workflow="other"), replace(SUCCESS, result=42))
    assert [state(number) for number in (job.id, waits.id)] == ["blocked", "blocked"]
    assert sql("SELECT extract(epoch FROM settled_at) FROM jobs WHERE id = :id", id=following.id) == [(0,)]
    settle()
    now = row(job.id)
    assert (now.state, now.unmet, now.result, now.attempt) == ("succeeded", 0, 42, 1)
    assert now.finished_at is not None
    assert state(waits.id) == "pending"


def test_a_loop_of_them_ends_with_the_result_of_the_last() -> None:
    job = record()
    loop = [job.id]
    for _ in range(5):
        loop.append(go_on(Recorded(loop[-1], row(loop[-1]).task_id, "new")))
    end(loop[-1], replace(SUCCESS, result=7))
    settle()
    assert [(row(number).state, row(number).result) for number in loop] == [("succeeded", 7)] * 6


def loop_of(number: int) -> list[int]:
    """So many jobs that go on in each other; the last one is pending."""
    loop = [record().id]
    while len(loop) < number:
        loop.append(go_on(Recorded(loop[-1], row(loop[-1]).task_id, "new")))
    return loop


def test_the_worker_that_finishes_the_last_tells_all_that_had_gone_on_at_once() -> None:
    loop = loop_of(6)
    waits, later = record(parents=[loop[0]]), record(parents=[loop[0], record().id])
    published: list[FinishedJob] = []
    last = must_claim(row(loop[-1]).task_id, worker())
    write_all([replace(SUCCESS, result=7).of(last)], publish=published.append)
    assert [(row(number).state, row(number).result) for number in loop] == [("succeeded", 7)] * 6
    assert [ids(one.unblocked) for one in published] == [[waits.id]]
    assert (state(waits.id), state(later.id), row(later.id).unmet) == ("pending", "blocked", 1)
    assert sql("SELECT count(*) FROM jobs WHERE settled_at < finished_at") == [(0,)]


def test_of_a_slice_each_tells_those_that_had_gone_on_in_it() -> None:
    loops, me = [loop_of(3), loop_of(2)], worker()
    plain = record()
    ends = [must_claim(row(number).task_id, me) for number in (loops[0][-1], loops[1][-1], plain.id)]
    write_all([replace(SUCCESS, result=one.job_id).of(one) for one in ends], publish=lambda job: None)
    for loop in loops:
        assert [(row(number).state, row(number).result) for number in loop] == [
            ("succeeded", loop[-1])
        ] * len(loop)


def test_what_others_hold_then_is_left_to_settle_and_nobody_waits(board: Services) -> None:
    first, second, last = loop_of(3)
    claimed = must_claim(row(last).task_id, worker())
    with psycopg.connect(board.database_url) as holder:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [first])
        write_all([SUCCESS.of(claimed)], publish=lambda job: None)
        assert [state(number) for number in (first, second, last)] == ["blocked", "succeeded", "succeeded"]
        holder.rollback()
    settle()
    assert state(first) == "succeeded"


def test_a_very_long_row_of_them_keeps_no_pool_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gone_on, "_LONGEST", 0.0)
    first, last = loop_of(2)
    write_all([SUCCESS.of(must_claim(row(last).task_id, worker()))], publish=lambda job: None)
    assert state(first) == "blocked"
    settle()
    assert state(first) == "succeeded"


def test_whatever_goes_wrong_then_the_end_is_written_and_settle_tells_them() -> None:
    first, last = loop_of(2)
    claimed = must_claim(row(last).task_id, worker())
    failpoints.arm("before_settle", "raise")
    try:
        [finished] = write_all([SUCCESS.of(claimed)], publish=lambda job: None)
    finally:
        failpoints.arm("before_settle", None)
    assert (finished.state, state(first)) == ("succeeded", "blocked")
    settle()
    assert state(first) == "succeeded"


def test_a_loop_does_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuing, "MOST", 2)
    first = record()
    second = go_on(first)
    third = go_on(Recorded(second, row(second).task_id, "new"))
    end(third, then())
    assert state(third) == "failed"
    assert "2 jobs have gone on in each other already" in str(row(third).error)
    settle()
    assert {state(first.id), state(second)} == {"upstream_failed"}


def test_the_error_of_the_last_is_that_of_the_first() -> None:
    job = record()
    waits, report = record(parents=[job.id]), record(after_any=frozenset({job.id}))
    following = go_on(job)
    last = go_on(Recorded(following, row(following).task_id, "new"))
    end(last, ERROR)
    settle()
    for number in (job.id, following, waits.id):
        assert state(number) == "upstream_failed"
        assert f"job {last} (w) failed: ValueError: boom" in str(row(number).error)
    assert state(report.id) == "pending"


def test_a_report_that_comes_twice_or_too_late_goes_on_once() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    assert finish(claimed, then()) is not None
    assert finish(claimed, then()) is None
    assert finish(claimed) is None
    lost = record()
    zombie = must_claim(lost.task_id, me)
    finish(zombie, LOST)
    must_claim(lost.task_id, me)
    assert finish(zombie, then()) is None
    assert sql("SELECT count(*) FROM dependencies WHERE kind = 'then'") == [(1,)]


def test_a_late_success_goes_on_if_nobody_has_claimed_the_job_again() -> None:
    me, job = worker(), record()
    claimed = must_claim(job.task_id, me)
    lapse(me)
    with engine.begin() as connection:
        transitions.rescue(connection, grace=0.0, limit=10)
    assert state(job.id) == "pending"
    finished = finish(claimed, then())
    assert finished is not None
    assert (state(job.id), len(finished.unblocked)) == ("blocked", 1)
    assert [one["late_outcome"] for one in attempts(job.id)] == [{"accepted_after": "lost"}]


def test_a_late_success_that_cannot_go_on_changes_nothing() -> None:
    job, me = record(max_losses=2), worker()
    claimed = must_claim(job.task_id, me)
    finish(claimed, LOST)
    assert finish(claimed, then(parents=[999_999])) is None
    assert state(job.id) == "pending"
    assert must_claim(job.task_id, me).attempt == 2


def test_a_cancel_that_was_requested_leaves_nothing_to_go_on_in() -> None:
    job = record()
    claimed = must_claim(job.task_id, worker())
    cancel(job.id)
    finished = finish(claimed, then())
    assert finished is not None
    assert (finished.state, finished.unblocked) == ("cancelled", ())
    assert sql("SELECT count(*) FROM jobs") == [(1,)]


def test_a_cancel_reaches_the_job_in_which_it_goes_on() -> None:
    first, second = record(), record()
    waiting, running = go_on(first), go_on(second)
    last = go_on(Recorded(running, row(running).task_id, "new"))
    must_claim(row(last).task_id, worker())
    assert cancel(first.id, second.id) == ([first.id, second.id, waiting, running], [last])
    end_of = finish(claim_of(last), ERROR)
    assert end_of is not None
    assert end_of.state == "cancelled"


def claim_of(number: int) -> Claim:
    """The claim of a job that runs."""
    [[task_id, claim_id, attempt]] = sql(
        "SELECT task_id, claim_id, attempt FROM jobs WHERE id = :id", id=number
    )
    return Claim(number, task_id, claim_id, attempt, "w", {}, "default", 4, [], 0, 1, None, None)


def test_a_cancel_that_meets_the_end_of_the_attempt_leaves_nothing_running() -> None:
    """It waits for the end of the attempt, and then finds what that has recorded."""
    job = record()
    claimed = must_claim(job.task_id, worker())
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            guard = transitions.by_claim(claimed.task_id, claimed.claim_id)
            assert transitions.finish(connection, guard, then()) is not None
            done = pool.submit(cancel, job.id)
            wait_until(lambda: sql("SELECT FROM pg_locks WHERE NOT granted"))
        at_once, requested = done.result()
    assert (len(at_once), requested) == (2, [])
    assert {one.state for one in map(row, at_once)} == {"cancelled"}


def test_a_cancelled_continuation_fails_the_job() -> None:
    job = record()
    cancel(go_on(job))
    settle()
    assert state(job.id) == "upstream_failed"
    assert "was cancelled" in str(row(job.id).error)


@pytest.mark.parametrize("with_parents", [False, True])
def test_a_retry_goes_on_where_it_failed(with_parents: bool) -> None:
    job = record()
    waits = record(parents=[job.id])
    following = go_on(job)
    end(following, ERROR)
    settle()
    assert set(retry(job.id, with_parents=with_parents)) == {job.id, following, waits.id}
    assert [state(number) for number in (job.id, following, waits.id)] == ["blocked", "pending", "blocked"]
    end(following, replace(SUCCESS, result=3))
    settle()
    assert (row(job.id).attempt, row(job.id).state, row(job.id).result) == (1, "succeeded", 3)
    assert state(waits.id) == "pending"


def test_a_retry_of_what_it_goes_on_in_revives_it() -> None:
    job = record()
    following = go_on(job)
    end(following, ERROR)
    settle()
    assert retry(following) == [following, job.id]
    assert (state(job.id), row(job.id).unmet) == ("blocked", 1)


def test_a_retry_after_a_cancel_takes_what_has_succeeded_meanwhile() -> None:
    job = record()
    following = go_on(job)
    claimed = must_claim(row(following).task_id, worker())
    cancel(job.id)
    finish(claimed, replace(SUCCESS, result=9))  # it was quicker than its cancel
    settle()
    assert [state(number) for number in (job.id, following)] == ["cancelled", "succeeded"]
    other = record()
    end(other.id)
    sql("UPDATE jobs SET settled_at = now() WHERE state = 'succeeded'")
    assert retry(job.id) == [job.id]
    assert state(job.id) == "blocked"
    told_again = sql("SELECT id FROM jobs WHERE settled_at = to_timestamp(0)")
    assert told_again == [(following,)]
    settle()
    assert (state(job.id), row(job.id).result) == ("succeeded", 9)


def test_a_retry_after_a_cancel_waits_for_what_still_runs() -> None:
    job = record()
    following = go_on(job)
    must_claim(row(following).task_id, worker())
    cancel(job.id)
    assert retry(job.id) == [job.id]
    assert sql("SELECT id FROM jobs WHERE settled_at IS NOT NULL AND state <> 'cancelled'") == []


def test_a_retry_from_scratch_forgets_nothing_but_what_it_had_gone_on_in() -> None:
    parent = record()
    end(parent.id)
    job, other = record(parents=[parent.id]), record()
    for number in (one := go_on(job), another := go_on(other)):
        end(number, ERROR)
    settle()
    assert retry(job.id, from_scratch=True) == [job.id]
    edges = sql("SELECT job_id, parent_id, kind FROM dependencies ORDER BY job_id")
    assert edges == [(job.id, parent.id, None), (other.id, another, "then")]
    assert state(one) == "failed"


def test_a_retry_from_scratch_begins_anew() -> None:
    job = record()
    following = go_on(job)
    end(following, ERROR)
    settle()
    assert retry(job.id, from_scratch=True) == [job.id]
    assert (state(job.id), state(following)) == ("pending", "failed")
    end(job.id, replace(SUCCESS, result=5))
    assert (state(job.id), row(job.id).result) == ("succeeded", 5)


def test_of_a_job_that_goes_on_from_scratch_forgets_nothing() -> None:
    job = record()
    following = go_on(job)
    assert retry(job.id, from_scratch=True) == []
    end(following)
    settle()
    assert state(job.id) == "succeeded"


def test_what_it_goes_on_in_may_wait_for_others_but_not_for_itself() -> None:
    job, other = record(), record()
    following = go_on(job, parents=[other.id])
    assert (state(following), row(following).unmet) == ("blocked", 1)
    second = record()
    waits = record(parents=[second.id])
    end(second.id, then(parents=[waits.id]))
    assert row(second.id).error == (
        "StateError: it cannot go on as it wants: the job in which it goes on would wait for "
        f"job {second.id}, which waits for it"
    )
    third = record()
    end(third.id, then(parents=[999_999]))
    assert row(third.id).error == (
        "JobNotFoundError: it cannot go on as it wants: there is no job 999999 to wait for"
    )
    assert states([second, third]) == ["failed", "failed"]
    end(other.id)
    assert state(following) == "pending"


def test_it_waits_for_nothing_else_once_it_has_run() -> None:
    parent = record()
    end(parent.id, ERROR)
    job = record(after_any=frozenset({parent.id}))
    following = go_on(job)
    retry(parent.id)
    assert row(job.id).unmet == 1
    end(following)
    settle()
    assert state(job.id) == "succeeded"


def test_who_is_found_by_chance_takes_its_result_too() -> None:
    job = record()
    end(go_on(job), replace(SUCCESS, result=4))
    sql("UPDATE jobs SET settled_at = NULL")
    settle()
    assert (state(job.id), row(job.id).result) == ("succeeded", 4)


def test_nobody_is_found_by_chance_who_goes_on_in_a_job_that_is_not_over() -> None:
    job = record()
    following = go_on(job)
    settle()
    assert (state(job.id), row(job.id).finished_at) == ("blocked", None)
    end(following)
    settle()
    assert state(job.id) == "succeeded"


def test_who_is_found_by_chance_waits_for_nothing_else() -> None:
    parent = record()
    end(parent.id, ERROR)
    job = record(after_any=frozenset({parent.id}))
    following = go_on(job)
    retry(parent.id)
    end(following)
    sql("UPDATE jobs SET settled_at = NULL WHERE id = :id", id=following)
    settle()
    assert [state(number) for number in (parent.id, job.id)] == ["pending", "succeeded"]


def ids(found: Iterable[Any]) -> list[int]:
    return [one.id for one in found]


def test_in_a_slice_what_others_go_on_in_is_left_to_settle() -> None:
    job, other, me = record(), record(), worker()
    child = record(parents=[other.id])
    following = go_on(job)
    claims = [must_claim(row(number).task_id, me) for number in (following, other.id)]
    finished = transitions.finish_at_once([SUCCESS.of(one) for one in claims])
    assert {one.id: ids(one.unblocked) for one in finished} == {following: [], other.id: [child.id]}
    assert state(job.id) == "blocked"
    settle()
    assert state(job.id) == "succeeded"


def test_a_dependent_that_cannot_be_retried_is_said_so_as_before() -> None:
    job = record()
    waits = record(parents=[job.id])
    end(go_on(job), ERROR)
    settle()
    with pytest.raises(StateError, match=f"depends on job {job.id}"):
        retry(waits.id)
