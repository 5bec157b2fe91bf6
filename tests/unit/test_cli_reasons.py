"""Why a job does not run, when it is rescued, what came late: in words, from given facts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from simcelery.board.reads.workers import Unserved, why_unserved
from simcelery.board.states import State
from simcelery.describe.attempt import late, what_became
from simcelery.describe.reasons import reasons, rescued_in
from simcelery.describe.story import Story
from simcelery.describe.unserved import in_sentences
from tests.unit.test_cli_rendering import NOW, job

BOOT = NOW - dt.timedelta(days=1)


def worker(name: str = "w@here", **changes: Any) -> dict[str, Any]:
    """A live worker, as `reads.workers` shows it."""
    values: dict[str, Any] = {
        "id": 1,
        "nodename": name,
        "host": "here",
        "queues": ["default"],
        "workflows": ["relax"],
        "concurrency": 2,
        "running": [],
        "quarantined_at": None,
        "ended_at": None,
        "lease_expires_at": NOW + dt.timedelta(seconds=10),
        "note": None,
    }
    return {**values, **changes}


def story(**changes: Any) -> Story:
    values: dict[str, Any] = {"job": job(state=State.PENDING), "now": NOW, "started_at": BOOT, "lease": 20.0}
    return Story(**{**values, **changes})


def lost(ran: float, ago: float, **changes: Any) -> tuple[Story, dict[str, Any]]:
    """A job that had run for so many seconds when its worker's lease ended, so many seconds ago."""
    expired = NOW - dt.timedelta(seconds=ago)
    began = expired - dt.timedelta(seconds=ran)
    one = worker(lease_expires_at=expired)
    return story(job=job(state=State.RUNNING, started_at=began, pid=1), worker=one, **changes), one


@pytest.mark.parametrize(
    ("ran", "ago", "expected"),
    [
        (600.0, 10.0, 20.0),  # 5 % of ten minutes
        (600.0, 40.0, -10.0),
        (360_000.0, 100.0, 800.0),  # fifteen minutes at most
        (-5.0, 3.0, -3.0),  # claimed just as the lease ended
    ],
)
def test_a_job_is_rescued_after_the_lease_and_its_own_patience(
    ran: float, ago: float, expected: float
) -> None:
    assert rescued_in(*lost(ran, ago)) == pytest.approx(expected)


def test_nobody_is_judged_before_postgres_has_been_up_for_a_lease() -> None:
    restarted = NOW - dt.timedelta(seconds=5)
    assert rescued_in(*lost(60.0, 50.0, started_at=restarted)) == pytest.approx(15.0)


def test_a_lost_job_without_any_live_worker_needs_a_hand() -> None:
    found = {one.code: one for one in reasons(lost(60.0, 50.0)[0])}
    assert set(found) == {"running", "lease", "no_worker"}
    assert "simcelery recover" in found["no_worker"].advice
    rescuer = story(**{**vars(lost(60.0, 50.0)[0]), "workers": [worker("other@here")]})
    assert [one.code for one in reasons(rescuer)] == ["running", "lease"]


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([], "queue"),
        ([worker(queues=["other"])], "queue"),
        ([worker(workflows=["other"])], "workflow"),
        ([worker(workflows=["other"]), worker(queues=["other"])], "workflow"),
        ([worker(quarantined_at=NOW)], "quarantine"),
        ([worker(quarantined_at=NOW), worker(workflows=[])], "quarantine"),
        ([worker(quarantined_at=NOW), worker()], None),
    ],
)
def test_who_serves_a_pending_job(workers: list[dict[str, Any]], expected: str | None) -> None:
    assert why_unserved(workers, "default", "relax") == expected


def test_a_free_worker_and_a_worker_that_left_the_queue_are_named() -> None:
    left = worker("left@here", note="does not know the workflow x; it leaves queue default to others")
    pending = job(state=State.PENDING, published_at=NOW - dt.timedelta(seconds=30))
    sent, note = reasons(story(job=pending, workers=[left]))
    assert sent.text.startswith("its message was sent 30 s ago; left@here has a free slot")
    assert note.text == f"left@here: {left['note']}"


def test_an_attempt_that_was_lost_is_told_while_the_job_waits_again() -> None:
    last = {"attempt": 1, "outcome": "lost", "cause": "worker_lost"}
    again, *_ = reasons(story(workers=[worker()], last=last))
    assert again.text == "attempt 1 was lost (worker_lost); the job will run again"


@pytest.mark.parametrize(
    ("parents", "code", "advice"),
    [
        ({3: "succeeded", 4: "running"}, "parents", "simcelery explain 4"),
        ({3: "failed", 4: "running"}, "parent_failed", "simcelery retry 3"),
        ({3: "succeeded"}, "settle", ""),
    ],
)
def test_a_blocked_job_names_the_parents_that_matter(parents: dict[int, str], code: str, advice: str) -> None:
    blocked = story(job=job(state=State.BLOCKED, unmet=1), parents=parents, workers=[worker()])
    [found] = reasons(blocked)
    assert (found.code, found.advice) == (code, advice)


def test_a_scheduled_job_whose_time_has_come_needs_a_worker() -> None:
    due = job(state=State.SCHEDULED, run_at=NOW - dt.timedelta(minutes=2))
    assert [one.code for one in reasons(story(job=due, workers=[worker()]))] == ["stage"]
    assert [one.code for one in reasons(story(job=due))] == ["stage", "no_worker"]
    backoff = job(
        state=State.SCHEDULED, run_at=NOW + dt.timedelta(minutes=2), attempt=1, error="ValueError: diverged"
    )
    waits, until = reasons(story(job=backoff))
    assert "attempt 1 failed (ValueError: diverged)" in waits.text
    assert until.text.startswith("it will run in 2 min, not before ")


def test_queues_are_said_once_and_workflows_one_by_one() -> None:
    found = [
        Unserved("queue", "gpu", "a", 2),
        Unserved("queue", "gpu", "b", 3),
        Unserved("workflow", "cpu", "c", 1),
        Unserved("quarantine", "cpu", "d", 1),
    ]
    assert [about for about, _ in in_sentences(found)] == [
        "no live worker serves queue 'gpu' (5 pending jobs)",
        "no live worker of its queue knows the workflow c (1 pending job in queue 'cpu')",
        "all workers that know the workflow d (1 pending job in queue 'cpu') are in quarantine",
    ]


@pytest.mark.parametrize(
    ("outcome", "told", "expected"),
    [
        ("lost", {"outcome": "succeeded", "result": 1}, "succeeded; it no longer counts"),
        (
            "released",
            {"outcome": "failed", "error_type": "ValueError", "error_message": "a\nb"},
            "failed (ValueError: a b); it no longer counts",
        ),
        (
            "succeeded",
            {"accepted_after": "lost"},
            "succeeded; accepted although it had been lost, since no newer claim was made",
        ),
    ],
)
def test_what_came_late(outcome: str, told: dict[str, Any], expected: str) -> None:
    assert late({"outcome": outcome, "late_outcome": told}) == expected


@pytest.mark.parametrize(
    ("state", "attempt", "at_once", "asked", "expected"),
    [
        (State.CANCELLED, {"error_message": "an older error"}, True, False, "cancelled while waiting"),
        (State.CANCELLED, {"error_message": "ended by the cancel"}, False, True, "ended by the cancel"),
        (State.CANCELLED, {"error_type": "E", "error_message": "m"}, False, True, "E: m"),
        (State.CANCELLED, {}, False, False, "was already cancelled"),
        (State.SUCCEEDED, {}, False, True, "succeeded before the cancel reached it"),
        (State.SUCCEEDED, {}, False, False, "had already succeeded"),
        (State.UPSTREAM_FAILED, {}, False, False, "was already upstream_failed"),
    ],
)
def test_how_a_cancelled_job_ended(
    state: State, attempt: dict[str, Any], at_once: bool, asked: bool, expected: str
) -> None:
    assert what_became(state, attempt, at_once=at_once, asked=asked) == expected


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("ValueError: diverged", "simcelery retry 42"),
        ("ParametersError: w: parameter 'omega': not a number", "simcelery retry 42 --set NAME=VALUE"),
    ],
)
def test_what_fails_again_with_the_same_parameters_is_retried_with_others(error: str, advice: str) -> None:
    failed = job(id=42, state=State.FAILED, error=error, finished_at=NOW)
    [reason] = reasons(story(job=failed))
    assert reason.advice.endswith(advice)
