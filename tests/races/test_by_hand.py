"""Jobs that somebody holds: none of them begins, and released they wait for what they waited for before."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from simcelery.board import engine, gates, interventions, limits, reads, submitting, transitions
from simcelery.board.reads import Filter
from simcelery.board.values import Recorded
from simcelery.maintenance.hold import tick
from simcelery.submission import holding, lineage, releasing
from tests.board_helpers import (
    AGAIN,
    ERROR,
    SUCCESS,
    cancel,
    claim,
    finish,
    must_claim,
    new_job,
    record,
    row,
    settle,
    sql,
    state,
    states,
    sweep,
    uncommitted_claim,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")


def hold(*jobs: Recorded) -> list[int]:
    return holding.hold(Filter(ids=[job.id for job in jobs]))


def release(*jobs: Recorded) -> list[int]:
    return releasing.release(Filter(ids=[job.id for job in jobs]))


def held(job: Recorded) -> bool:
    with engine.begin() as connection:
        [one] = reads.jobs(connection, Filter(ids=[job.id]))
    return bool(one.held)


def test_what_is_held_does_not_begin_and_waits_as_before_when_it_is_released() -> None:
    me = worker()
    parent, pending = record(), record()
    blocked = record(parents=[parent.id])
    scheduled = record(run_at=row(parent.id).submitted_at.replace(year=2999))
    other = record()
    jobs = (pending, blocked, scheduled)
    assert hold(*jobs) == [job.id for job in jobs]
    assert states(jobs) == ["blocked"] * 3
    assert all(held(job) for job in jobs)
    assert hold(*jobs) == []
    assert [claim(job.task_id, me) for job in jobs] == [None] * 3
    finish(must_claim(parent.task_id, me))
    assert tick() == (1, 0), "its parent has succeeded, and it is held all the same"
    settle()
    assert states(jobs) == ["blocked"] * 3
    assert release(*jobs) == [job.id for job in jobs]
    assert states(jobs) == ["pending", "pending", "scheduled"]
    assert not any(held(job) for job in jobs)
    assert state(other.id) == "pending"


def test_what_is_held_was_never_sent_and_what_is_closed_again_lets_nothing_go() -> None:
    job = record()
    submitting.mark_published([job.id])
    hold(job)
    assert sql("SELECT published_at, publish_count FROM jobs") == [(None, 0)]
    [(gate,)] = sql("SELECT id FROM gates")
    with engine.begin() as connection:
        transitions.release_gates(connection, [gate])
        assert transitions.close_gates(connection, [gate], "ada") == [gate]
    assert sql("SELECT closed_by, held_by, moving FROM gates") == [("hand", "ada", False)]
    assert tick() == (0, 0)
    assert state(job.id) == "blocked"


def test_it_is_told_who_holds_it() -> None:
    job = record(workflow="a")
    hold(job, record(workflow="b"))
    assert sql("SELECT workflow, closed_by, held_by, submitted_by FROM gates ORDER BY workflow") == [
        (name, "hand", lineage.submitter(), lineage.submitter()) for name in "ab"
    ]
    release(job)
    assert sql("SELECT closed_by, held_by FROM gates WHERE workflow = 'a'") == [(None, None)]


def test_what_runs_or_is_over_is_left_alone_and_what_is_held_can_be_cancelled() -> None:
    me = worker()
    runs, over, waits = record(), record(), record()
    claimed = must_claim(runs.task_id, me)
    finish(must_claim(over.task_id, me))
    assert hold(runs, over, waits) == [waits.id]
    assert finish(claimed) is not None
    cancel(waits.id)
    assert states([runs, over, waits]) == ["succeeded", "succeeded", "cancelled"]


def test_what_has_begun_is_held_too() -> None:
    me = worker()
    jobs = sweep(3, max_fails=9)
    finish(must_claim(jobs[0].task_id, me), AGAIN)
    sql("UPDATE jobs SET state = 'pending' WHERE state = 'scheduled'")
    assert row(jobs[0].id).attempt == 1
    with engine.begin() as connection:
        [(number,)] = sql("SELECT id FROM gates")
        assert transitions.close_gates(connection, [number], "ada") == [number]
    assert [claim(job.task_id, me) for job in jobs] == [None] * 3, "from that commit on"
    assert tick() == (3, 0)
    assert states(jobs) == ["blocked"] * 3
    assert release(*jobs) == [job.id for job in jobs]
    assert claim(jobs[0].task_id, me)


def test_a_sweep_is_held_as_a_whole_and_keeps_its_fuse() -> None:
    me = worker()
    jobs = sweep(5, max_fails=0)
    finish(must_claim(jobs[0].task_id, me))
    assert hold(*jobs) == [job.id for job in jobs[1:]]
    [(number, closed_by)] = sql("SELECT id, closed_by FROM gates")
    assert closed_by == "hand"
    with engine.begin() as connection:
        assert gates.is_closed(connection, number), "what is added is held"
    release(*jobs)
    finish(must_claim(jobs[1].task_id, me), replace(ERROR, retry_in=None))
    assert sql("SELECT closed_by, held_by FROM gates") == [("fuse", None)]


def test_single_jobs_leave_their_sweep() -> None:
    me = worker()
    jobs = sweep(5, max_fails=0)
    assert hold(jobs[0], jobs[1]) == [jobs[0].id, jobs[1].id]
    assert states(jobs) == ["blocked"] * 2 + ["pending"] * 3
    release(jobs[0])
    assert states(jobs) == ["pending", "blocked"] + ["pending"] * 3
    finish(must_claim(jobs[0].task_id, me), ERROR)
    assert sql("SELECT closed_by FROM gates ORDER BY id") == [(None,), ("hand",)]


def test_canaries_are_held_with_their_sweep_and_what_they_hold_is_left_to_them() -> None:
    me = worker()
    jobs = sweep(4, canaries=[0])
    assert hold(*jobs) == [jobs[0].id], "the others are held already"
    assert claim(jobs[0].task_id, me) is None
    release(jobs[0])
    finish(must_claim(jobs[0].task_id, me), SUCCESS)
    assert tick() == (0, 3)
    proven = sweep(3, canaries=[0])
    release(*proven)
    assert hold(*proven) == [job.id for job in proven]
    assert states(proven) == ["blocked"] * 3, "also the canary that has not run"
    assert [claim(job.task_id, me) for job in proven] == [None] * 3
    assert len(release(*proven)) == 3
    assert states(proven) == ["pending"] * 3


@pytest.mark.parametrize("others", [0, 2])
def test_a_canary_alone_is_held_and_its_sweep_still_waits_for_it(others: int) -> None:
    me = worker()
    jobs = sweep(1 + others, canaries=[0])
    for job in jobs[1:]:
        cancel(job.id)
    assert hold(jobs[0]) == [jobs[0].id]
    assert (states(jobs[:1]), held(jobs[0])) == (["blocked"], True)
    assert claim(jobs[0].task_id, me) is None
    assert sql("SELECT closed_by FROM gates ORDER BY id") == [("canary",), ("hand",)]
    assert release(jobs[0]) == [jobs[0].id]
    finish(must_claim(jobs[0].task_id, me), SUCCESS)
    tick()
    assert sql("SELECT closed_by FROM gates ORDER BY id") == [(None,), (None,)]


def test_what_has_begun_is_held_though_the_fuse_of_its_sweep_would_let_it_go_on() -> None:
    me = worker()
    jobs = sweep(3, max_fails=0)
    finish(must_claim(jobs[0].task_id, me), AGAIN)
    finish(must_claim(jobs[1].task_id, me), replace(ERROR, retry_in=None))
    assert sql("SELECT closed_by FROM gates") == [("fuse",)]
    assert hold(*jobs) == [jobs[0].id], "the last one is held by the fuse"
    sql("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'")
    assert (state(jobs[0].id), claim(jobs[0].task_id, me)) == ("blocked", None)


def test_a_gate_that_closes_meanwhile_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = sweep(3, canaries=[0])
    release(*jobs)
    note = interventions.note

    def close_first(*arguments: Any) -> None:
        if sql("SELECT count(*) FROM gates WHERE closed_by IS NULL") == [(1,)]:
            sql("UPDATE gates SET closed_by = 'fuse'")
        note(*arguments)

    monkeypatch.setattr(interventions, "note", close_first)
    assert hold(*jobs) == [jobs[0].id], "the others are held by the fuse; of a canary that knows nothing"
    assert held(jobs[0])
    with engine.begin() as connection:
        told = [reads.interventions(connection, job.id) for job in jobs]
    assert [[one["kind"] for one in each if one["kind"] == "hold"] for each in told] == [["hold"], [], []]


def test_what_waits_for_a_limit_can_be_held() -> None:
    with engine.begin() as connection:
        limits.put(connection, {"workflow:w": 1}, "test")
    me = worker()
    runs, waits = record(), record()
    must_claim(runs.task_id, me)
    assert claim(waits.task_id, me) is None
    assert sql("SELECT job_id FROM throttled") == [(waits.id,)]
    assert hold(waits) == [waits.id]
    assert sql("SELECT * FROM throttled") == []
    assert release(waits) == [waits.id]
    assert state(waits.id) == "pending"


def test_the_job_in_which_a_held_one_goes_on_is_held_with_it() -> None:
    me = worker()
    first = record()
    finished = finish(must_claim(first.task_id, me), replace(SUCCESS, result=None, then=new_job()))
    assert finished is not None
    [(second,)] = sql("SELECT id FROM jobs WHERE id <> :id", id=first.id)
    assert hold(first) == [first.id, second]
    assert state(second) == "blocked"
    assert releasing.release(Filter(ids=[first.id, second])) == [first.id, second]
    assert state(second) == "pending"


def test_a_claim_that_comes_first_wins() -> None:
    me = worker()
    job, other = record(), record()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(hold(job, other)))
    with uncommitted_claim(job, me):
        thread.start()
        wait_until(lambda: sql("SELECT count(*) FROM pg_locks WHERE NOT granted") != [(0,)])
    thread.join()
    assert found == [other.id]
    assert states([job, other]) == ["running", "blocked"]


def test_more_than_fit_into_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_MANY", 3)
    jobs = [record() for _ in range(8)]
    assert hold(*jobs) == [job.id for job in jobs]
    assert states(jobs) == ["blocked"] * 8
    assert sql("SELECT count(DISTINCT gate_id) FROM jobs") == [(1,)]
    assert release(*jobs) == [job.id for job in jobs]
