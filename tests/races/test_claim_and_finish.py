"""Who may run a job, and whose outcome counts."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from simcelery import failpoints
from simcelery.board import engine, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import ClaimRequest, EndedAttempt
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    claim,
    finish,
    must_claim,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


def test_of_many_claims_at_once_exactly_one_wins() -> None:
    job, me = record(), worker()
    start = threading.Barrier(6)

    def attempt(pid: int) -> object:
        start.wait()
        return claim(job.task_id, me, pid=pid)

    with ThreadPoolExecutor(6) as pool:
        won = [found for found in pool.map(attempt, range(6)) if found is not None]
    assert len(won) == 1
    assert row(job.id).attempt == 1


def test_a_duplicate_message_misses_while_the_job_runs_and_after_it_finished() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    assert claim(job.task_id, me) is None
    finish(claimed)
    assert claim(job.task_id, me) is None
    assert row(job.id).attempt == 1


def test_a_claim_whose_answer_was_lost_is_still_ours() -> None:
    job, me = record(), worker()
    wanted = ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(me), pid=1)
    [claimed] = transitions.claim(wanted)
    assert (claimed.claim_id, claimed.attempt) == (wanted.claim_id, 1)
    assert transitions.claim(wanted) == []  # as after a commit whose answer never came
    assert transitions.forgotten(wanted) == [claimed]
    assert transitions.forgotten(replace(wanted, pid=2)) == []
    finish(claimed)
    assert transitions.forgotten(wanted) == []
    assert state(job.id) == "succeeded"


def test_a_job_of_another_workflow_is_not_taken_for_the_claim_whose_answer_was_lost() -> None:
    """A board that was restored believes that this child still runs what it has ended long ago."""
    job, me = record(), worker()
    must_claim(record(workflow="other").task_id, me, workflow="other", pid=1)
    wanted = ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(me), pid=1)
    assert transitions.forgotten(wanted) == []
    claimed = transitions.claim(wanted)
    assert [one.job_id for one in claimed] == [job.id]
    assert transitions.forgotten(wanted) == claimed


def test_a_forged_message_cannot_run_a_job_as_another_workflow() -> None:
    job, me = record(workflow="w"), worker()
    assert claim(job.task_id, me, workflow="other") is None
    assert state(job.id) == "pending"


def test_a_worker_whose_lease_has_lapsed_cannot_claim() -> None:
    job, me = record(), worker(lease=-1.0)
    assert claim(job.task_id, me) is None
    wanted = ClaimRequest(job.task_id, "w", uuid.uuid4(), registration(me), pid=1)
    assert not transitions.holds_lease(wanted)
    other = registration(worker())
    assert transitions.holds_lease(replace(wanted, worker=other))


def test_a_zombie_cannot_overwrite_the_newer_attempt() -> None:
    job, me = record(max_losses=3), worker()
    zombie = must_claim(job.task_id, me)
    finish(zombie, LOST)
    newer = must_claim(job.task_id, me)
    assert finish(zombie, SUCCESS) is None
    assert finish(zombie, ERROR) is None
    assert state(job.id) == "running"
    assert finish(newer, EndedAttempt(outcome=Outcome.SUCCEEDED, result="newer")) is not None
    assert row(job.id).result == "newer"
    assert [ended["outcome"] for ended in attempts(job.id)] == ["lost", "succeeded"]


def test_a_late_success_counts_while_no_newer_claim_was_made() -> None:
    job, me = record(max_losses=3), worker()
    presumed_dead = must_claim(job.task_id, me)
    finish(presumed_dead, LOST)
    assert state(job.id) == "pending"
    assert finish(presumed_dead, SUCCESS) is not None
    assert state(job.id) == "succeeded"
    assert claim(job.task_id, me) is None
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["late_outcome"]) == ("succeeded", {"accepted_after": "lost"})


def test_a_late_error_does_not_count() -> None:
    job, me = record(), worker()
    presumed_dead = must_claim(job.task_id, me)
    finish(presumed_dead, LOST)
    assert finish(presumed_dead, ERROR) is None
    assert state(job.id) == "pending"


def test_a_late_success_does_not_count_after_the_job_has_failed() -> None:
    job, me = record(max_losses=0), worker()
    presumed_dead = must_claim(job.task_id, me)
    finish(presumed_dead, LOST)
    assert state(job.id) == "failed"
    assert finish(presumed_dead, SUCCESS) is None
    assert state(job.id) == "failed"


def test_a_second_report_of_the_same_attempt_changes_nothing() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me)
    assert finish(claimed, SUCCESS) is not None
    assert finish(claimed, SUCCESS) is None
    assert finish(claimed, ERROR) is None
    assert len(attempts(job.id)) == 1
    assert state(job.id) == "succeeded"


def test_the_parent_reports_a_dead_child_only_while_that_child_has_the_job() -> None:
    job, me = record(max_losses=3), worker()
    claimed = must_claim(job.task_id, me, pid=100)
    with engine.begin() as connection:
        guard = transitions.by_child(job.task_id, registration(me), 999)
        assert transitions.finish(connection, guard, LOST) is None
        for other in (worker(), me + 100):
            guard = transitions.by_child(job.task_id, registration(other), 100)
            assert transitions.finish(connection, guard, LOST) is None
    finish(claimed, SUCCESS)
    with engine.begin() as connection:  # the child stored its result and died afterwards
        assert (
            transitions.finish(connection, transitions.by_child(job.task_id, registration(me), 100), LOST)
            is None
        )
    assert state(job.id) == "succeeded"


def test_a_dead_childs_parent_names_the_job_of_several_that_the_child_had() -> None:
    me = worker()
    ran, waited = record(), record()
    for job in (ran, waited):
        must_claim(job.task_id, me, pid=100)
    with engine.begin() as connection:
        guard = transitions.by_child(ran.task_id, registration(me), 100)
        finished = transitions.finish(connection, guard, LOST)
    assert finished is not None
    assert (finished.id, finished.again is not None) == (ran.id, True)
    assert (state(ran.id), state(waited.id)) == ("pending", "running")


def test_child_and_parent_report_at_once_and_one_of_them_counts() -> None:
    job, me = record(), worker()
    claimed = must_claim(job.task_id, me, pid=100)
    start = threading.Barrier(2)

    def child() -> object:
        start.wait()
        return finish(claimed, ERROR)

    def parent() -> object:
        start.wait()
        with engine.begin() as connection:
            return transitions.finish(
                connection, transitions.by_child(job.task_id, registration(me), 100), LOST
            )

    with ThreadPoolExecutor(2) as pool:
        reports = [pool.submit(child), pool.submit(parent)]
    assert sum(report.result() is not None for report in reports) == 1
    assert len(attempts(job.id)) == 1


def test_errors_are_tried_again_until_the_attempts_are_used_up() -> None:
    job, me = record(max_attempts=2), worker()
    finish(must_claim(job.task_id, me), AGAIN)
    assert state(job.id) == "scheduled"
    with engine.begin() as connection:
        assert [staged.id for staged in transitions.stage(connection, 1000)] == [job.id]
    finish(must_claim(job.task_id, me), AGAIN)
    assert (state(job.id), row(job.id).failures, row(job.id).attempt) == ("failed", 2, 2)


def test_losses_are_counted_apart_from_failures() -> None:
    job, me = record(max_attempts=1, max_losses=2), worker()
    for _ in range(2):
        finish(must_claim(job.task_id, me), LOST)
        assert state(job.id) == "pending"
    finish(must_claim(job.task_id, me), LOST)
    job_row = row(job.id)
    assert (job_row.state, job_row.losses, job_row.failures) == ("failed", 3, 0)
    assert job_row.error_type == "LostWorkerError"


def test_whoever_shuts_down_releases_what_it_runs_and_nothing_else() -> None:
    me, other = worker(), worker()
    mine, ended, theirs = record(), record(), record()
    for job, holder in ((mine, me), (ended, me), (theirs, other)):
        must_claim(job.task_id, holder)
    sql("UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = :id", id=ended.id)
    with ThreadPoolExecutor(1) as pool, engine.begin() as busy:
        busy.exec_driver_sql(f"SELECT FROM jobs WHERE id = {ended.id} FOR UPDATE")

        def release() -> list[int]:
            with engine.begin() as connection:
                return [job.id for job in transitions.release(connection, registration(me))]

        assert pool.submit(release).result(within(2)) == [mine.id]  # and waits for no job that has ended
    assert [state(job.id) for job in (mine, ended, theirs)] == ["pending", "succeeded", "running"]


def test_a_release_counts_as_neither() -> None:
    job, me = record(max_attempts=1, max_losses=0), worker()
    must_claim(job.task_id, me)
    with engine.begin() as connection:
        assert [released.id for released in transitions.release(connection, registration(me))] == [job.id]
    job_row = row(job.id)
    assert (job_row.state, job_row.losses, job_row.failures) == ("pending", 0, 0)
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("released", Cause.SHUTDOWN)


def test_a_child_that_dies_before_the_claim_has_claimed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    job, me = record(), worker()
    monkeypatch.setitem(failpoints._ARMED, "before_claim", "raise")
    with pytest.raises(failpoints.FailpointError):
        claim(job.task_id, me)
    monkeypatch.undo()
    assert (state(job.id), row(job.id).attempt) == ("pending", 0)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
def test_only_a_claim_that_need_not_outlive_a_crash_does_not_wait_for_the_disk(
    durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = psycopg.ClientCursor.execute

    def spy(cursor: Any, words: Any, *rest: Any) -> Any:
        sent.append(words)
        return execute(cursor, words, *rest)

    job, me = record(), registration(worker())
    monkeypatch.setattr(psycopg.ClientCursor, "execute", spy)
    wanted = ClaimRequest(job.task_id, "w", uuid.uuid4(), me, pid=1, durable=durable)
    assert [one.job_id for one in transitions.claim(wanted)] == [job.id]
    assert ["synchronous_commit = off" in words for words in sent] == [not durable]
