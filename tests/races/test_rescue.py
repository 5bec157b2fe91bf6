"""Whose jobs are rescued, when, by whom; and what a worker that was thought dead may still do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from simcelery.board import engine, leases, patience, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import Claim, EndedAttempt, FinishedJob
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    claim,
    finish,
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

GRACE = 0.2
RESULT = EndedAttempt(outcome=Outcome.SUCCEEDED, result="late")


def rescue(**options: float) -> list[FinishedJob]:
    with engine.begin() as connection:
        return transitions.rescue(connection, **({"grace": GRACE, "limit": 1000} | options))  # type: ignore[arg-type]


def renew(worker_id: int, lease: float = 20.0, **options: object) -> bool:
    with engine.begin() as connection:
        return leases.renew(connection, registration(worker_id), lease, **options)  # type: ignore[arg-type]


def bury(*worker_ids: int) -> list[FinishedJob]:
    with engine.begin() as connection:
        leases.bury(connection, worker_ids)
        return transitions.rescue_now(connection, worker_ids, 1000)


def note_late(claimed: Claim, report: EndedAttempt) -> bool:
    with engine.begin() as connection:
        return transitions.note_late(connection, claimed.task_id, claimed.claim_id, report)


def running(**changes: object) -> tuple[Claim, int]:
    """A job that runs in a worker of its own."""
    me = worker()
    return must_claim(record(**changes).task_id, me), me


def has_run(claimed: Claim, seconds: float) -> None:
    sql(
        "UPDATE jobs SET started_at = now() - make_interval(secs => :s) WHERE id = :id",
        s=seconds,
        id=claimed.job_id,
    )


# --- whose jobs, and when --------------------------------------------------------------------------


def test_only_jobs_of_workers_whose_lease_ended_are_rescued_and_once() -> None:
    lost, dead = running()
    kept, _ = running()
    lapse(dead, ago=9.0)
    assert [job.id for job in rescue()] == [lost.job_id]
    assert rescue() == []
    assert (state(lost.job_id), state(kept.job_id)) == ("pending", "running")
    [ended] = attempts(lost.job_id)
    assert (ended["outcome"], ended["cause"], ended["claim_id"]) == ("lost", "worker_lost", lost.claim_id)
    assert ended["error_type"] == "LostWorkerError"


def test_what_was_submitted_first_is_rescued_first() -> None:
    me = worker()
    first, second = (must_claim(record().task_id, me) for _ in range(2))
    sql("UPDATE jobs SET priority = priority WHERE id = :id", id=first.job_id)  # its row comes last
    lapse(me)
    assert [job.id for _ in range(2) for job in rescue(limit=1)] == [first.job_id, second.job_id]


def test_what_is_needed_to_send_a_rescued_job_again_comes_with_it() -> None:
    me = worker()
    job = record(parameters={"x": [1, None]}, priority=7, queue="default", time_limit=60.0)
    must_claim(job.task_id, me)
    lapse(me)
    [rescued] = rescue()
    assert rescued.again is not None
    assert (rescued.again.task_id, rescued.again.lane) == (
        job.task_id,
        ("default", "w", 7),
    )
    assert row(job.id).published_at is None


@pytest.mark.parametrize(
    ("had_run", "overdue", "rescued"),
    [
        (0.0, 0.1, True),  # a young job restarts at once
        (60.0, 2.9, False),
        (60.0, 3.1, True),
        (1000.0, 49.0, False),
        (1000.0, 51.0, True),
        (36_000.0, 899.0, False),  # ten hours: 5 % would be half an hour; 15 minutes at most
        (36_000.0, 901.0, True),
        (-5.0, 10.0, True),  # claimed just as the lease ended, or the clock was set back
    ],
)
def test_patience_grows_with_what_would_be_thrown_away(had_run: float, overdue: float, rescued: bool) -> None:
    claimed, me = running()
    with engine.begin() as connection:  # one transaction, so that no time passes in between
        connection.exec_driver_sql(
            f"UPDATE workers SET lease_expires_at = now() - make_interval(secs => {overdue}) WHERE id = {me}"
        )
        connection.exec_driver_sql(
            f"UPDATE jobs SET started_at = now() - make_interval(secs => {had_run + overdue})"
        )
        told = told_of(connection, claimed.job_id)
        found = transitions.rescue(connection, grace=GRACE, limit=1000)
    assert [job.id for job in found] == ([claimed.job_id] if rescued else [])
    assert told is rescued


def told_of(connection: Connection, job_id: int) -> bool:
    """Whether patience with a job is over as it is told of one."""
    lease, started, postgres, now = connection.exec_driver_sql(
        "SELECT w.lease_expires_at, j.started_at, pg_postmaster_start_time(), now() "
        f"FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE j.id = {job_id}"
    ).one()
    return patience.over_at(lease, started, postgres, GRACE) < now


def test_a_worker_that_renews_after_its_lease_had_lapsed_keeps_its_jobs() -> None:
    claimed, me = running()
    has_run(claimed, 36_000.0)
    lapse(me, ago=60.0)
    assert rescue() == []  # patience
    assert renew(me)
    assert rescue() == []
    assert finish(claimed, SUCCESS) is not None
    assert state(claimed.job_id) == "succeeded"


def test_a_thousand_jobs_are_rescued_in_bounded_steps() -> None:
    me = worker()
    for _ in range(5):
        must_claim(record().task_id, me)
    lapse(me)
    assert [len(rescue(limit=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_those_that_were_recorded_first_are_rescued_first() -> None:
    me, jobs = worker(), [record() for _ in range(4)]
    for job in reversed(jobs):  # their rows come in this order
        must_claim(job.task_id, me)
    lapse(me)
    assert [[job.id for job in rescue(limit=2)] for _ in range(2)] == [
        [job.id for job in jobs[:2]],
        [job.id for job in jobs[2:]],
    ]


def test_a_job_that_somebody_else_is_moving_is_left_to_them() -> None:
    first, me = running()
    second = must_claim(record().task_id, me)
    lapse(me)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT id FROM jobs WHERE id = {first.job_id} FOR UPDATE")
        assert [job.id for job in rescue()] == [second.job_id]  # at once, though the other is locked
    assert [job.id for job in rescue()] == [first.job_id]


@pytest.mark.slow
def test_two_judges_at_once_rescue_each_job_once() -> None:
    me = worker()
    ids = {must_claim(record().task_id, me).job_id for _ in range(40)}
    lapse(me)
    start = threading.Barrier(2)

    def judge() -> list[int]:
        start.wait()
        found: list[int] = []
        while some := rescue(limit=5):
            found += [job.id for job in some]
        return found

    with ThreadPoolExecutor(2) as pool:
        judges = [pool.submit(judge), pool.submit(judge)]
    found = [number for one in judges for number in one.result()]
    assert sorted(found) == sorted(ids)
    assert sql("SELECT count(*), count(DISTINCT job_id) FROM attempts") == [(40, 40)]
    assert sql("SELECT DISTINCT losses FROM jobs") == [(1,)]


@pytest.mark.slow
def test_a_rescue_and_the_finish_at_once_end_the_attempt_once() -> None:
    for _ in range(10):
        claimed, me = running()
        lapse(me)
        start = threading.Barrier(2)

        def finishes(claimed: Claim = claimed, start: threading.Barrier = start) -> object:
            start.wait()
            return finish(claimed, RESULT)

        def rescues(start: threading.Barrier = start) -> object:
            start.wait()
            return rescue()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(finishes), pool.submit(rescues)]:
                done.result()
        assert row(claimed.job_id).result == "late"  # nobody claimed it anew
        assert [ended["outcome"] for ended in attempts(claimed.job_id)] == ["succeeded"]


def test_a_worker_that_is_renewing_its_lease_holds_up_no_rescue_and_no_rescue_holds_it_up() -> None:
    claimed, me = running()
    lapse(me)
    with engine.begin() as renewing:
        renewing.exec_driver_sql(f"SELECT FROM workers WHERE id = {me} FOR UPDATE")
        with engine.begin() as connection:
            rescued = transitions.rescue(connection, grace=GRACE, limit=1000)
            assert [job.id for job in rescued] == [claimed.job_id]
    must_claim(claimed.task_id, worker())
    sql("UPDATE jobs SET worker_id = :id", id=me)
    with engine.begin() as connection:
        transitions.rescue(connection, grace=GRACE, limit=1000)
        sql("SELECT FROM workers WHERE id = :id FOR UPDATE NOWAIT", id=me)


# --- who may judge ---------------------------------------------------------------------------------


def test_nobody_is_judged_when_postgres_has_just_started() -> None:
    claimed, me = running()
    lapse(me)
    [(uptime,)] = sql("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
    assert rescue(grace=float(uptime) + 60.0) == []
    assert [job.id for job in rescue(grace=float(uptime) / 2)] == [claimed.job_id]


def test_a_judge_with_a_recent_gap_does_not_judge() -> None:
    claimed, me = running()
    lapse(me)
    judge = worker()
    sql("UPDATE workers SET renewed_at = now() - interval '11 s', steady_since = '2020-01-01'")
    with engine.begin() as connection:
        assert leases.renew(
            connection, registration(judge), 20.0
        )  # it was cut off for more than half of its lease
        assert transitions.rescue(connection, grace=GRACE, limit=1000, judge=judge) == []
    with engine.begin() as connection:
        assert leases.renew(connection, registration(judge), 20.0)
        connection.exec_driver_sql("UPDATE workers SET steady_since = now() - interval '1 s'")
        rescued = transitions.rescue(connection, grace=GRACE, limit=1000, judge=judge)
    assert [job.id for job in rescued] == [claimed.job_id]


def test_a_judge_whose_own_lease_has_lapsed_does_not_judge() -> None:
    _, me = running()
    judge = worker()
    sql("UPDATE workers SET steady_since = '2020-01-01'")
    lapse(me)
    lapse(judge)
    assert rescue(judge=judge) == []
    renew(judge)
    sql("UPDATE workers SET steady_since = '2020-01-01', ended_at = now() WHERE id = :id", id=judge)
    assert rescue(judge=judge) == []
    assert rescue(judge=judge + 1) == []  # nobody at all
    assert len(rescue()) == 1


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ("", True),
        ("steady_since = now() - interval '0.19 s'", False),
        ("renewed_at = now() - interval '0.11 s'", False),
        ("lease_expires_at = now()", False),
        ("ended_at = now()", False),
    ],
)
def test_a_judge_has_been_steady_for_a_lease_and_renewed_in_its_last_half(changes: str, may: bool) -> None:
    claimed, me = running()
    lapse(me)
    judge, _ = worker(), worker()  # that another one may judge is no matter
    with engine.begin() as connection:  # one transaction, so that no time passes in between
        connection.exec_driver_sql(
            "UPDATE workers SET steady_since = now() - interval '0.2 s', "
            "renewed_at = now() - interval '0.1 s', "
            f"lease_expires_at = now() + interval '1 ms' WHERE id <> {me}"
        )
        if changes:
            connection.exec_driver_sql(f"UPDATE workers SET {changes} WHERE id = {judge}")
        rescued = transitions.rescue(connection, grace=GRACE, limit=1000, judge=judge)
    assert [job.id for job in rescued] == ([claimed.job_id] if may else [])


@pytest.mark.parametrize(
    ("renewed", "lapsed", "every", "steady"),
    [
        (4.0, False, None, True),
        (9.9, False, None, True),
        (10.1, False, None, False),
        (4.0, True, None, False),
        (14.0, False, 10.0, True),  # renewals so rare that half a lease between them is no gap
        (15.1, False, 10.0, False),
        (9.9, False, 1.0, True),
    ],
)
def test_a_gap_ends_what_was_steady(renewed: float, lapsed: bool, every: float | None, steady: bool) -> None:
    me = worker()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE workers SET steady_since = '2020-01-01', "
            f"renewed_at = now() - make_interval(secs => {renewed}), "
            f"lease_expires_at = now() + make_interval(secs => {-1 if lapsed else 1})"
        )
        assert leases.renew(connection, registration(me), 20.0, every=every)
        [(since, now, lease)] = connection.exec_driver_sql(
            "SELECT steady_since, now(), lease_expires_at - renewed_at FROM workers"
        )
    assert (since.year == 2020) is steady
    assert steady or since == now
    assert lease.total_seconds() == 20.0


# --- what becomes of the job -----------------------------------------------------------------------


def test_a_job_without_losses_left_fails() -> None:
    claimed, me = running(max_losses=1)
    lapse(me)
    [first] = rescue()
    assert (first.state, first.again is not None) == ("pending", True)
    again = worker()
    must_claim(claimed.task_id, again)
    lapse(again)
    [second] = rescue()
    assert (second.state, second.again) == ("failed", None)
    found = row(claimed.job_id)
    assert (found.state, found.losses, found.failures) == ("failed", 2, 0)
    assert found.error == "LostWorkerError: the worker's lease ended while it ran the job"


def test_a_cancel_wins_over_the_rescue() -> None:
    claimed, me = running()
    with engine.begin() as connection:
        transitions.cancel(connection, [claimed.job_id], by="test")
    lapse(me)
    [rescued] = rescue()
    assert (rescued.state, rescued.again, state(claimed.job_id)) == ("cancelled", None, "cancelled")


@pytest.mark.parametrize("cause", [Cause.OUT_OF_MEMORY, Cause.WALLTIME, Cause.WORKER_LOST])
def test_every_kind_of_loss_counts_as_a_loss(cause: Cause) -> None:
    claimed, _ = running()
    report = EndedAttempt(
        outcome=Outcome.LOST, cause=cause, error_type="LostWorkerError", error_message="gone"
    )
    ended = finish(claimed, report)
    assert ended is not None
    assert ended.again is not None
    found = row(claimed.job_id)
    assert (found.state, found.losses, found.failures) == ("pending", 1, 0)
    assert attempts(claimed.job_id)[0]["cause"] == cause


# --- certain death ---------------------------------------------------------------------------------


def test_a_buried_workers_jobs_are_rescued_at_once() -> None:
    claimed, me = running()
    has_run(claimed, 36_000.0)
    other, dead = running()
    with engine.begin() as connection:
        leases.bury(connection, [dead])  # by another worker, which takes its jobs
    [rescued] = bury(me)
    assert (rescued.id, rescued.state) == (claimed.job_id, "pending")
    assert state(other.job_id) == "running"
    [ended] = attempts(claimed.job_id)
    assert (ended["cause"], ended["error_message"]) == (
        "worker_lost",
        "the worker died and was started again on the same host",
    )


def test_the_jobs_of_a_worker_that_was_not_buried_are_not_rescued_at_once() -> None:
    claimed, me = running()
    lapse(me, ago=1.0)
    with engine.begin() as connection:
        assert transitions.rescue_now(connection, [me], 1000) == []
    assert state(claimed.job_id) == "running"


def test_a_buried_workers_jobs_too_are_rescued_in_bounded_steps() -> None:
    me = worker()
    held = [must_claim(record().task_id, me).job_id for _ in range(5)]
    with engine.begin() as connection:
        leases.bury(connection, [me])
        steps = [transitions.rescue_now(connection, [me], 2) for _ in range(4)]
    assert [[job.id for job in step] for step in steps] == [held[:2], held[2:4], held[4:], []]


def test_what_is_rescued_at_once_is_told_why() -> None:
    claimed, me = running()
    with engine.begin() as connection:
        leases.bury(connection, [me])
        transitions.rescue_now(connection, [me], 10, "the allocation has ended", Cause.WALLTIME)
    [ended] = attempts(claimed.job_id)
    assert (ended["cause"], ended["error_message"]) == ("walltime", "the allocation has ended")


def test_a_buried_worker_that_lives_cannot_renew_or_claim_but_may_finish() -> None:
    claimed, me = running()
    bury(me)
    assert renew(me) is False
    assert claim(record().task_id, me) is None
    assert finish(claimed, SUCCESS) is not None  # nobody has claimed it anew
    assert state(claimed.job_id) == "succeeded"


def test_a_buried_worker_claims_nothing_where_the_clock_was_set_back_before_the_end_of_its_lease() -> None:
    job, me = record(), worker()
    bury(me)
    sql("UPDATE workers SET lease_expires_at = now() + interval '1 min'")
    assert claim(job.task_id, me) is None


def test_a_burial_does_not_make_a_lapsed_lease_longer() -> None:
    claimed, me = running()
    has_run(claimed, 4000.0)
    lapse(me, ago=1000.0)
    with engine.begin() as connection:
        assert leases.bury(connection, [me]) == [me]
        assert leases.bury(connection, [me]) == []
    assert [job.id for job in rescue()] == [claimed.job_id]  # as by anybody, without rescue_now


def test_the_lease_of_a_buried_worker_is_over() -> None:
    """So anybody may rescue its jobs, and not only who buried it."""
    claimed, me = running()
    with engine.begin() as connection:
        assert leases.bury(connection, [me]) == [me]
    assert sql("SELECT lease_expires_at <= now() FROM workers") == [(True,)]
    assert [job.id for job in rescue()] == [claimed.job_id]


def test_predecessors_are_the_unended_workers_of_the_same_host() -> None:
    gone = worker(host="a", pid=7, identity="boot 1, start 2", nodename="w1@a")
    lapse(gone)
    worker(host="b")
    ended, me = worker(host="a"), worker(host="a")
    with engine.begin() as connection:
        leases.end(connection, registration(ended))
        assert leases.predecessors(connection, "a", me) == [(gone, 7, "boot 1, start 2", "w1@a")]


# --- outcomes that come late -----------------------------------------------------------------------


def test_a_late_success_counts_before_the_job_is_claimed_again() -> None:
    claimed, me = running()
    lapse(me)
    rescue()
    assert finish(claimed, RESULT) is not None
    assert (state(claimed.job_id), row(claimed.job_id).result) == ("succeeded", "late")
    assert not note_late(claimed, RESULT)


@pytest.mark.parametrize("report", [RESULT, ERROR], ids=["success", "error"])
def test_an_outcome_after_the_job_was_claimed_again_is_only_noted(report: EndedAttempt) -> None:
    zombie, me = running()
    lapse(me)
    rescue()
    newer = must_claim(zombie.task_id, worker())
    assert finish(zombie, report) is None
    assert note_late(zombie, report)
    [ended] = attempts(zombie.job_id)
    assert (ended["outcome"], ended["error_type"]) == ("lost", "LostWorkerError")
    late = ended["late_outcome"]
    assert late.pop("reported_at")
    assert late == (
        {"outcome": "succeeded", "result": "late"}
        if report is RESULT
        else {"outcome": "failed", "error_type": "ValueError", "error_message": "boom"}
    )
    assert not note_late(zombie, SUCCESS)  # the first word stays
    assert finish(newer, SUCCESS) is not None
    assert row(zombie.job_id).result == 1


@pytest.mark.parametrize("report", [SUCCESS, ERROR, AGAIN, LOST])
def test_a_report_that_is_delivered_twice_is_not_late(report: EndedAttempt) -> None:
    claimed, _ = running(max_attempts=2)
    assert finish(claimed, report) is not None
    assert finish(claimed, report) is None
    assert not note_late(claimed, report)
    assert attempts(claimed.job_id)[0]["late_outcome"] is None


def test_an_error_after_a_release_is_noted() -> None:
    claimed, me = running()
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    assert finish(claimed, ERROR) is None
    assert note_late(claimed, ERROR)


def test_another_outcome_than_the_one_that_counted_is_not_late() -> None:
    claimed, _ = running()
    finish(claimed, ERROR)
    assert not note_late(claimed, RESULT)


def test_what_comes_late_is_noted_with_its_own_attempt() -> None:
    me = worker()
    job = record()
    first = must_claim(job.task_id, me)
    finish(first, LOST)
    second = must_claim(job.task_id, me)
    finish(second, LOST)
    assert note_late(first, RESULT)
    assert [ended["late_outcome"] is None for ended in attempts(job.id)] == [False, True]


def test_nothing_is_noted_of_a_claim_that_runs_or_is_not_known() -> None:
    claimed, _ = running()
    assert not note_late(claimed, RESULT)
    with engine.begin() as connection:
        unknown = new_job().task_id
        assert not transitions.note_late(connection, unknown, claimed.claim_id, RESULT)
        assert not transitions.note_late(connection, claimed.task_id, unknown, RESULT)
