"""What the next attempt gets after one that ended for want of memory or time: decided with its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simcelery import escalation
from simcelery.board import engine, reads, transitions
from simcelery.board.states import Cause, Outcome
from simcelery.board.transitions.finish import finish_all
from simcelery.board.values import EndedAttempt, Recorded
from simcelery.needs import Needs, Room
from tests.board_helpers import (
    ERROR,
    attempts,
    cancel,
    finish,
    must_claim,
    record,
    row,
    sql,
    state,
    worker,
)

pytestmark = pytest.mark.usefixtures("board")

GIB = 2**30
TOO_MUCH = EndedAttempt(
    outcome=Outcome.FAILED,
    cause=Cause.OUT_OF_MEMORY,
    error_type="OutOfMemoryError",
    error_message="it used too much",
)
TOO_LONG = replace(TOO_MUCH, cause=Cause.TIME_LIMIT, error_type="TimeLimitError")
KILLED = replace(TOO_MUCH, outcome=Outcome.LOST, error_type="LostWorkerError")
WALLTIME = replace(KILLED, cause=Cause.WALLTIME)
MORE = {"memory": "x2", "max": "10G", "queue": "himem"}


def node() -> int:
    return worker(room=Room(64, 1024 * GIB))


def escalating(on: dict[str, Any], memory: int | None = 4 * GIB, **options: Any) -> Recorded:
    return record(needs=Needs(memory=memory, escalation=escalation.checked(on)), **options)


def ends(job: Recorded, me: int, end: EndedAttempt) -> int | None:
    """It runs once and ends so; the memory that it had."""
    claimed = must_claim(job.task_id, me)
    finished = finish(claimed, end)
    assert finished is not None
    assert finished.state == state(job.id)
    return claimed.memory


def ledger(job: Recorded) -> list[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    with engine.begin() as connection:
        found = reads.escalations(connection, job.id)
    return [(one["attempt"], one["cause"], one["before"], one["after"]) for one in found]


@pytest.mark.parametrize("end", [TOO_MUCH, KILLED])
def test_a_job_that_ran_out_of_memory_gets_more_until_there_is_no_more(end: EndedAttempt) -> None:
    job, me = escalating({"out_of_memory": MORE}, max_losses=0), node()
    assert ends(job, me, end) == 4 * GIB
    now = row(job.id)
    assert (now.state, now.queue, now.failures, now.losses) == ("pending", "himem", 0, 0)
    assert ends(job, me, end) == 8 * GIB
    assert ends(job, me, end) == 10 * GIB
    now = row(job.id)
    assert (now.state, now.failures + now.losses) == ("failed", 1)
    assert now.error is not None
    assert now.error.endswith("it used too much; tried 4G, 8G, 10G, which is the most")
    assert ledger(job) == [
        (1, "out_of_memory", {"memory": 4 * GIB, "queue": "default"}, {"memory": 8 * GIB, "queue": "himem"}),
        (2, "out_of_memory", {"memory": 8 * GIB}, {"memory": 10 * GIB}),
    ]
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [
        (str(end.outcome), "out_of_memory")
    ] * 3


@pytest.mark.parametrize(("first", "most"), [(11, 15), (19, 87)])
def test_the_most_is_reached_to_the_byte_and_once(first: int, most: int) -> None:
    on = {"out_of_memory": {"memory": "x10", "max": f"{most}G"}}
    job, me = escalating(on, memory=first * GIB), node()
    assert ends(job, me, TOO_MUCH) == first * GIB
    assert ends(job, me, TOO_MUCH) == most * GIB
    assert state(job.id) == "failed"


def test_at_the_most_no_attempt_is_left_whatever_else_may_be_tried_again() -> None:
    job, me = escalating({"out_of_memory": MORE}, memory=10 * GIB, queue="himem", max_attempts=5), node()
    ends(job, me, replace(TOO_MUCH, retry_in=0.0))
    assert (state(job.id), ledger(job)) == ("failed", [])


def test_only_the_cause_that_is_named_escalates() -> None:
    job, me = escalating({"out_of_memory": MORE}, max_attempts=2), node()
    ends(job, me, replace(ERROR, retry_in=0.0))
    assert (row(job.id).queue, row(job.id).failures, ledger(job)) == ("default", 1, [])


def test_a_job_that_ran_too_long_gets_more_time() -> None:
    job = escalating({"time_limit": {"time_limit": "x1.5", "max": "2h"}}, time_limit=3600.0)
    sql("UPDATE jobs SET soft_time_limit = 1800")
    me = node()
    limits = []
    for _ in range(3):
        limits.append(row(job.id).time_limit)
        ends(job, me, TOO_LONG)
    assert limits == [3600.0, 5400.0, 7200.0]
    assert sql("SELECT soft_time_limit FROM jobs") == [(3600.0,)]
    assert (state(job.id), row(job.id).failures) == ("failed", 1)
    assert "tried 01:00:00, 01:30:00, 02:00:00, which is the most" in (row(job.id).error or "")


def test_after_the_end_of_an_allocation_it_goes_on_in_another_queue_once() -> None:
    job, me = escalating({"walltime": {"queue": "long"}}, memory=None), node()
    ends(job, me, WALLTIME)
    assert (state(job.id), row(job.id).queue, row(job.id).losses) == ("pending", "long", 0)
    ends(job, me, WALLTIME)
    assert (state(job.id), row(job.id).queue, row(job.id).losses) == ("pending", "long", 1)
    assert ledger(job) == [(1, "walltime", {"queue": "default"}, {"queue": "long"})]


def test_a_cancel_wins() -> None:
    job, me = escalating({"out_of_memory": MORE}), node()
    claimed = must_claim(job.task_id, me)
    cancel(job.id)
    finish(claimed, TOO_MUCH)
    assert (state(job.id), ledger(job)) == ("cancelled", [])


def test_an_attempt_that_no_longer_has_the_job_changes_nothing() -> None:
    job, me = escalating({"out_of_memory": MORE}), node()
    before = must_claim(job.task_id, me)
    transitions.put_back([before])
    must_claim(job.task_id, me)
    with engine.begin() as connection:
        assert finish_all(connection, [(before.job_id, before.claim_id)], TOO_MUCH) == []
    assert (row(job.id).queue, ledger(job)) == ("default", [])


def test_what_is_not_committed_is_not_decided() -> None:
    """The end of the attempt and what the next one gets are there together, or neither is."""
    job, me = escalating({"out_of_memory": MORE}), node()
    claimed = must_claim(job.task_id, me)
    with engine.begin() as connection:
        guard = transitions.by_claim(claimed.task_id, claimed.claim_id)
        assert transitions.finish(connection, guard, TOO_MUCH) is not None
        connection.rollback()
    assert (state(job.id), row(job.id).queue, ledger(job)) == ("running", "default", [])
    finish(claimed, TOO_MUCH)
    assert (state(job.id), row(job.id).queue, len(ledger(job))) == ("pending", "himem", 1)


def test_of_several_that_end_together_each_has_its_own_rules() -> None:
    me = node()
    jobs = [escalating({"walltime": {"queue": "long"}}), record(), escalating({"out_of_memory": MORE})]
    claims = [must_claim(job.task_id, me) for job in jobs]
    with engine.begin() as connection:
        pairs = [(one.job_id, one.claim_id) for one in claims]
        assert len(finish_all(connection, pairs, WALLTIME)) == 3
    assert [row(job.id).queue for job in jobs] == ["long", "default", "default"]
    assert [row(job.id).losses for job in jobs] == [0, 1, 1]


@pytest.mark.parametrize(
    "rule",
    [
        {"memory": "many", "max": "x"},
        {"memory": 0, "max": 0},
        {"memory": -5, "max": 1e300},
        {"memory": 1e300, "max": 1e300},
        {"memory": None},
        [],
        "x2",
        {"queue": ""},
    ],
)
def test_whatever_a_rule_says_the_attempt_is_finished(rule: Any) -> None:
    job, me = escalating({"out_of_memory": MORE}), node()
    with engine.begin() as connection:
        text = engine.as_json({"out_of_memory": rule})
        connection.exec_driver_sql("UPDATE needs SET escalation = %(text)s::jsonb", {"text": text})
    ends(job, me, TOO_MUCH)
    assert state(job.id) in ("failed", "pending")
    assert len(attempts(job.id)) == 1
