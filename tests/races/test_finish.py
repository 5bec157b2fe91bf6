"""One rule for every outcome: outcome × cancel × counters → state, alone, in a slice and with dependents."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from simcelery import failpoints
from simcelery.board import transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.values import Claim, EndedAttempt
from tests.board_helpers import AGAIN, ERROR, LOST, SUCCESS, attempts, must_claim, record, row, sql, worker

pytestmark = pytest.mark.usefixtures("board")

RELEASED = EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.SHUTDOWN)
CANCELLED = EndedAttempt(outcome=Outcome.CANCELLED, cause=Cause.CANCELLED)

# How it ended, failures and losses before (of 2 attempts and 1 loss that are allowed), then the state
# without a cancel, and with one.
RULES = [
    (SUCCESS, 0, 0, "succeeded", "succeeded"),
    (SUCCESS, 1, 1, "succeeded", "succeeded"),
    (AGAIN, 0, 1, "scheduled", "cancelled"),
    (AGAIN, 1, 0, "failed", "cancelled"),
    (ERROR, 0, 0, "failed", "cancelled"),
    (LOST, 1, 0, "pending", "cancelled"),
    (LOST, 0, 1, "failed", "cancelled"),
    (RELEASED, 1, 1, "pending", "cancelled"),
    (CANCELLED, 0, 0, "cancelled", "cancelled"),
]


def claimed(failures: int = 0, losses: int = 0, cancelled: bool = False) -> Claim:
    """A job that runs, and has been through this."""
    job = record(max_attempts=2, max_losses=1)
    claim = must_claim(job.task_id, worker())
    requested = "now()" if cancelled else "NULL"
    sql(
        f"UPDATE jobs SET failures = :failures, losses = :losses, cancel_requested_at = {requested}"
        " WHERE id = :id",
        failures=failures,
        losses=losses,
        id=job.id,
    )
    return claim


@pytest.mark.parametrize("beside", ["alone", "in a slice", "with dependents"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize(
    ("ended", "failures", "losses", "state", "with_cancel"),
    RULES,
    ids=[f"{rule[0].outcome} {rule[1]}+{rule[2]} {rule[0].retry_in}" for rule in RULES],
)
def test_the_rule_is_the_same_for_every_attempt(
    ended: EndedAttempt,
    failures: int,
    losses: int,
    state: str,
    with_cancel: str,
    cancelled: bool,
    beside: str,
) -> None:
    claim = claimed(failures, losses, cancelled)
    others = [claimed()] if beside == "in a slice" else []
    waits = record(parents=[claim.job_id]) if beside == "with dependents" else None
    finished = transitions.finish_at_once([ended.of(claim), *(SUCCESS.of(other) for other in others)])
    expected = with_cancel if cancelled else state
    assert [job.state for job in finished] == [expected, *("succeeded" for _ in others)]
    assert (finished[0].again is not None) == (expected == "pending")
    job = row(claim.job_id)
    assert job.state == expected
    assert (job.finished_at is None) == (expected in ("scheduled", "pending"))
    assert job.failures == failures + (ended.outcome is Outcome.FAILED)
    assert job.losses == losses + (ended.outcome is Outcome.LOST)
    assert job.error_message == ended.error_message
    [attempt] = attempts(claim.job_id)
    assert (attempt["outcome"], attempt["cause"]) == (ended.outcome, ended.cause)
    if waits is not None:
        unblocked = [waits.id] if expected == "succeeded" else []
        assert [one.id for one in finished[0].unblocked] == unblocked
        assert (row(waits.id).state == "pending") == bool(unblocked)


@pytest.mark.parametrize("ended", [SUCCESS, AGAIN, ERROR, LOST, RELEASED, CANCELLED])
def test_the_times_of_an_attempt_that_waited_in_a_slice_are_its_own(ended: EndedAttempt) -> None:
    """Claimed ten seconds ago, it waited for three, ran for five, and its outcome waited for two."""
    claim = claimed()
    sql("UPDATE jobs SET started_at = now() - interval '10 s'")
    [finished] = transitions.finish_at_once([ended.of(claim, waited=3.0, ended=time.monotonic() - 2.0)])
    assert finished.took == pytest.approx(5.0, abs=0.5)
    [(began, lasted)] = sql(
        "SELECT extract(epoch FROM now() - started_at), extract(epoch FROM finished_at - started_at)"
        " FROM attempts"
    )
    assert float(began) == pytest.approx(7.0, abs=0.5)
    assert float(lasted) == pytest.approx(5.0, abs=0.5)
    assert row(claim.job_id).started_at == attempts(claim.job_id)[0]["started_at"]


@pytest.mark.parametrize(
    ("failures", "cancelled", "pause"),
    [(0, False, 60.0), (1, False, None), (0, True, None)],
    ids=["tried again", "no attempt left", "cancelled"],
)
def test_a_job_gets_a_time_to_run_at_only_if_it_is_tried_again(
    failures: int, cancelled: bool, pause: float | None
) -> None:
    transitions.finish_at_once([replace(AGAIN, retry_in=60.0).of(claimed(failures, 0, cancelled))])
    [(left,)] = sql("SELECT extract(epoch FROM run_at - now())::float8 FROM jobs")
    assert left == (pause and pytest.approx(pause, abs=10.0))


def test_what_is_not_known_when_it_ends_is_kept_as_it_was() -> None:
    """A release says nothing of the error before it, and a success ends it."""
    job = record(max_attempts=3)
    me = worker()
    transitions.finish_at_once([AGAIN.of(must_claim(job.task_id, me))])
    sql("UPDATE jobs SET state = 'pending'")
    transitions.finish_at_once([RELEASED.of(must_claim(job.task_id, me))])
    assert row(job.id).error_message == "boom"
    transitions.finish_at_once([replace(SUCCESS, result={"energy": -1.5}).of(must_claim(job.task_id, me))])
    assert (row(job.id).error_message, row(job.id).result) == (None, {"energy": -1.5})


def test_what_ended_just_now_ended_now_and_is_told_with_its_workflow() -> None:
    claim = claimed()
    sql("UPDATE jobs SET started_at = now() - interval '10 s'")
    [(now,)] = sql("SELECT clock_timestamp()")
    [finished] = transitions.finish_at_once([SUCCESS.of(claim)])
    assert row(claim.job_id).finished_at >= now
    assert finished.workflow == "w"


def test_a_child_that_dies_before_the_finish_has_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(failpoints._ARMED, "before_finish", "raise")
    success = SUCCESS.of(claimed())
    with pytest.raises(failpoints.FailpointError):
        transitions.finish_at_once([success])
    assert attempts(success.job_id) == []
    monkeypatch.undo()
    assert [job.id for job in transitions.finish_at_once([success])] == [success.job_id]
