"""Jobs that wait for the ends of others, whatever these are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from simcelery.board import engine, gates, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.values import EndedAttempt, Recorded
from simcelery.errors import StateError
from simcelery.maintenance import hold
from simcelery.maintenance.effects import BY_HAND
from simcelery.services import Services
from tests.board_helpers import (
    AGAIN,
    ERROR,
    SUCCESS,
    cancel,
    finish,
    must_claim,
    new_job,
    record,
    retry,
    row,
    settle,
    sql,
    state,
    worker,
)
from tests.races.test_locks import is_waited_for
from tests.waiting import wait_until, within

pytestmark = pytest.mark.usefixtures("board")


def end(job: Recorded, how: EndedAttempt = SUCCESS) -> None:
    assert finish(must_claim(job.task_id, worker()), how) is not None


def after_any(*parents: Recorded, **more: object) -> Recorded:
    return record(after_any=frozenset(one.id for one in parents), **more)


def test_it_runs_once_all_have_ended_however_they_did() -> None:
    succeeds, fails, cancelled, root = (record(max_attempts=2) for _ in range(4))
    falls = record(parents=[root.id])
    report = after_any(succeeds, fails, cancelled, falls)
    assert (state(report.id), row(report.id).unmet) == ("blocked", 4)
    end(succeeds)
    end(fails, AGAIN)  # it will be tried again: no end yet
    settle()
    assert row(report.id).unmet == 3
    sql("UPDATE jobs SET state = 'pending' WHERE state = 'scheduled'")
    end(fails, ERROR)
    cancel(cancelled.id)
    settle()
    assert (state(report.id), row(report.id).unmet) == ("blocked", 1)
    end(root, ERROR)
    settle()
    assert state(falls.id) == "upstream_failed"
    assert (state(report.id), row(report.id).unmet, row(report.id).error) == ("pending", 0, None)


def test_the_last_success_lets_it_go_at_once() -> None:
    parent = record()
    report = after_any(parent)
    finished = finish(must_claim(parent.task_id, worker()))
    assert finished is not None
    assert [job.id for job in finished.unblocked] == [report.id]


def test_one_whose_parents_have_ended_when_it_is_recorded_does_not_wait() -> None:
    fails, cancelled = record(), record()
    end(fails, ERROR)
    cancel(cancelled.id)
    assert state(after_any(fails, cancelled).id) == "pending"
    assert state(after_any(fails, delay=3600.0).id) == "scheduled"


def test_what_it_needs_must_succeed_all_the_same() -> None:
    needed, other = record(), record()
    both = after_any(other, parents=[needed.id])
    twice = after_any(needed, parents=[needed.id])  # what it needs counts
    end(other, ERROR)
    settle()
    assert [row(one.id).unmet for one in (both, twice)] == [1, 1]
    end(needed, ERROR)
    settle()
    assert {state(both.id), state(twice.id)} == {"upstream_failed"}


def test_it_waits_again_for_a_parent_that_is_retried_before_it_was_let_go() -> None:
    first, second = record(), record()
    report = after_any(first, second)
    end(first, ERROR)
    settle()
    assert row(report.id).unmet == 1
    assert retry(first.id) == [first.id]
    assert row(report.id).unmet == 2
    end(second)
    assert (state(report.id), row(report.id).unmet) == ("blocked", 1)
    end(first)
    assert state(report.id) == "pending"


def test_a_parent_that_is_retried_before_its_end_was_told_is_counted_once() -> None:
    first, second = record(), record()
    report = after_any(first, second)
    end(first, ERROR)
    retry(first.id)
    settle()
    end(first)
    assert (state(report.id), row(report.id).unmet) == ("blocked", 1)


def test_it_does_not_run_again_if_a_parent_is_retried_after_it_was_let_go() -> None:
    parent = record()
    waits, ran = after_any(parent), after_any(parent)
    end(parent, ERROR)
    settle()
    end(ran)
    assert retry(parent.id) == [parent.id]
    assert [state(one.id) for one in (parent, waits, ran)] == ["pending", "pending", "succeeded"]
    end(parent)
    settle()
    assert [(row(one.id).attempt, state(one.id)) for one in (waits, ran)] == [
        (0, "pending"),
        (1, "succeeded"),
    ]


def test_it_may_be_retried_though_its_parents_did_not_succeed() -> None:
    parent = record()
    report, after = after_any(parent), record(parents=[parent.id])
    end(parent, ERROR)
    settle()
    end(report, ERROR)
    assert retry(report.id, with_parents=True) == [report.id]
    assert state(parent.id) == "failed"
    with pytest.raises(StateError, match=f"depends on job {parent.id}"):
        retry(after.id)


def test_of_what_fell_and_is_retried_with_its_root_ends_are_waited_for_anew() -> None:
    """Both are revived in the same statement, which sees the one as it was."""
    root = record()
    falls = record(parents=[root.id])
    report = after_any(falls, parents=[root.id])
    end(root, ERROR)
    settle()
    assert {state(falls.id), state(report.id)} == {"upstream_failed"}
    retry(root.id)
    assert row(report.id).unmet == 2
    end(root)
    assert row(report.id).unmet == 1
    end(falls, ERROR)
    settle()
    assert state(report.id) == "pending"


def test_who_is_found_by_chance_is_let_go_too() -> None:
    parent, needed = record(), record()
    report = after_any(parent, parents=[needed.id])
    end(needed)
    end(parent, ERROR)
    sql("UPDATE jobs SET settled_at = now() + interval '1 s' WHERE id = :id", id=parent.id)
    settle()
    assert state(report.id) == "pending"


def test_a_retry_that_meets_the_end_of_another_parent_forgets_neither(board: Services) -> None:
    """It counts once it holds the dependent, so that it sees who has ended while it waited."""
    first, second = record(), record()
    report = after_any(first, second)
    end(first, ERROR)
    settle()
    claimed = must_claim(second.task_id, worker())
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(2) as pool:
        holder.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [report.id])
        retried = pool.submit(retry, first.id)
        wait_until(lambda: is_waited_for(holder), every=0.01)
        ended = pool.submit(finish, claimed)
        wait_until(lambda: len(sql("SELECT FROM pg_locks WHERE NOT granted")) >= 2, every=0.01)
        holder.rollback()
        assert retried.result(within(20)) == [first.id]
        assert ended.result(within(20)) is not None
    assert (state(report.id), row(report.id).unmet) == ("blocked", 1)
    end(first)
    assert state(report.id) == "pending"


def test_a_dependent_recorded_while_its_parent_is_retried_waits_for_the_next_end() -> None:
    parent, other = record(), record()
    end(parent, ERROR)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            new = new_job(after_any=frozenset({parent.id, other.id}))
            [report] = transitions.record(connection, [new])
            retried = pool.submit(retry, parent.id)
            wait_until(lambda: sql("SELECT FROM pg_locks WHERE NOT granted"))
        assert retried.result(within(20)) == [parent.id]
    assert row(report.id).unmet == 2


def test_a_closed_gate_holds_it_all_the_same() -> None:
    parent = record()
    with engine.begin() as connection:
        gate = gates.create(connection, NewGate("w", (), "test", canary=1))
        canary, report = transitions.record(
            connection,
            [new_job(), new_job(after_any=frozenset({parent.id}))],
            behind=Behind(gate, closed=True, canaries=frozenset({0})),
        )
        gates.add_canaries(connection, gate, [canary.id])
    end(parent, ERROR)
    settle()
    hold.tick(BY_HAND)
    assert (state(report.id), row(report.id).unmet, row(report.id).held) == ("blocked", 0, True)
    end(canary)
    hold.tick(BY_HAND)
    assert state(report.id) == "pending"
