"""Postgres' clock is set back, or forward, while a fleet works: as if, by moving the times on the board."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from simcelery import settings
from simcelery.board import clock, engine, feed, leases, submitting, transitions, turns
from simcelery.board.values import Claim, Lane
from simcelery.maintenance import loop
from tests.board_helpers import (
    AGAIN,
    ERROR,
    LOST,
    SUCCESS,
    attempts,
    cancel,
    finish,
    must_claim,
    record,
    registration,
    settle,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")

LANE = Lane("default", "w", 4)


def take(**every: float) -> turns.Taken:
    return turns.take_turns(every or {"rescue": 1.0}, "me")


def set_back() -> None:
    """What the board holds now was written hours later than it is."""
    columns = {
        "jobs": "submitted_at started_at finished_at published_at settled_at run_at",
        "workers": "started_at renewed_at lease_expires_at steady_since ended_at",
        "attempts": "started_at finished_at",
        "recovery": "next_at",
    }
    for table, names in columns.items():
        sql(f"UPDATE {table} SET " + ", ".join(f"{name} = {name} + interval '3 h'" for name in names.split()))


def rescued(judge: int | None = None) -> list[int]:
    with engine.begin() as connection:
        return [job.id for job in transitions.rescue(connection, grace=0.0, limit=1000, judge=judge)]


@pytest.mark.parametrize("until", ["now() + interval '3 h'", "'infinity'"])
def test_a_turn_further_ahead_than_its_interval_is_due(until: str) -> None:
    sql(f"UPDATE recovery SET next_at = {until}")
    taken = take(rescue=1.0, prune=60.0)
    assert (taken.acts, taken.set_back) == ({"rescue", "prune"}, True)
    assert take(rescue=1.0, prune=60.0) == turns.Taken(frozenset(), 0, False)


def test_whoever_dies_while_it_sets_times_right_leaves_all_of_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take(rescue=1.0, prune=60.0)
    sql("UPDATE recovery SET next_at = next_at + interval '3 h' WHERE name = 'rescue'")

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(clock, "set_right", die)
        with pytest.raises(KeyboardInterrupt):
            take(rescue=1.0, prune=60.0)
    assert take(rescue=1.0, prune=60.0) == turns.Taken(frozenset({"rescue"}), 0, True)


@pytest.mark.slow
def test_the_job_of_a_dead_worker_is_rescued_a_lease_after_the_clock_was_set_back() -> None:
    job = record()
    must_claim(job.task_id, worker(lease=1.0))
    set_back()
    take()
    wait_until(lambda: rescued() == [job.id], 10)
    [ended] = attempts(job.id)
    assert ended["finished_at"] >= ended["started_at"]


def test_what_was_sent_is_sent_again_and_what_was_recorded_is_sent() -> None:
    sent, fresh = record(), record()
    submitting.mark_published([sent.id])
    set_back()
    take()
    with engine.begin() as connection:
        assert [job.id for job in feed.unpublished(connection, LANE, 10)] == [fresh.id]
        assert feed.overdue(connection, LANE, 10) == []
    sql("UPDATE jobs SET published_at = published_at - interval '6 s' WHERE id = :id", id=sent.id)
    with engine.begin() as connection:
        assert [job.id for job in feed.overdue(connection, LANE, 10)] == [sent.id]


def test_a_back_off_keeps_its_length_and_the_time_that_a_user_wished_for_stays() -> None:
    again = record(max_attempts=2)
    finish(must_claim(again.task_id, worker()), AGAIN)
    wished = record(delay=60.0)
    set_back()
    [(before,)] = sql("SELECT run_at FROM jobs WHERE id = :id", id=wished.id)
    take()
    assert sql("SELECT run_at <= now() FROM jobs WHERE id = :id", id=again.id) == [(True,)]
    assert sql("SELECT run_at FROM jobs WHERE id = :id", id=wished.id) == [(before,)]


def test_children_hear_of_a_failure_also_where_an_earlier_one_lies_ahead() -> None:
    parent = record()
    mine = worker()
    finish(must_claim(parent.task_id, mine), ERROR)
    settle()
    set_back()
    with engine.begin() as connection:
        from simcelery.board import transitions

        transitions.retry(connection, [parent.id], by="test")
    child = record(parents=[parent.id])
    sql("UPDATE workers SET lease_expires_at = now() + interval '1 h'")
    finish(must_claim(parent.task_id, mine), ERROR)
    settle()
    assert state(child.id) == "upstream_failed"


def test_settle_ends_where_the_ends_of_jobs_lie_ahead() -> None:
    job = record()
    finish(must_claim(job.task_id, worker()), ERROR)
    set_back()
    settle()
    assert sql("SELECT settled_at >= finished_at FROM jobs") == [(True,)]


def test_nobody_judges_with_a_renewal_of_before_the_clock_was_set_forward() -> None:
    """Three quarters of a lease at once: who renewed last seems to live, and who renewed first to be lost."""
    job = record()
    holder, judge = worker(lease=20.0), worker(lease=20.0)
    must_claim(job.task_id, holder)
    sql("UPDATE workers SET steady_since = now() - interval '1 h', renewed_at = now() - interval '16 s'")
    sql("UPDATE workers SET lease_expires_at = now() + interval '4 s' WHERE id = :id", id=judge)
    sql("UPDATE workers SET lease_expires_at = now() - interval '1 s' WHERE id = :id", id=holder)
    with engine.begin() as connection:
        assert transitions.rescue(connection, grace=20.0, limit=1000, judge=judge) == []
        assert leases.renew(connection, registration(judge), 20.0)
        assert transitions.rescue(connection, grace=20.0, limit=1000, judge=judge) == []


def test_the_board_says_what_lies_ahead_of_its_clock() -> None:
    record()
    worker()
    with engine.begin() as connection:
        assert clock.ahead(connection) == {}
    set_back()
    with engine.begin() as connection:
        assert sorted(clock.ahead(connection)) == ["renewals of leases", "submissions", "turns of recovery"]


def test_an_act_that_takes_long_holds_up_only_itself() -> None:
    """What it is started with begins it in a thread; the others have their turns meanwhile."""
    begun: list[str] = []
    release = threading.Event()

    def background(name: str, do: object) -> object:
        def begin() -> None:
            begun.append(name)
            if name == "settle":
                threading.Thread(target=lambda: (release.wait(), do()), daemon=True).start()  # type: ignore[operator]
            else:
                do()  # type: ignore[operator]

        return begin

    mine = loop.Rounds(settings.get_settings(), "me", None, background)  # type: ignore[arg-type]
    mine.round()
    deadline = time.monotonic() + 10
    while begun.count("stage") < 3 and time.monotonic() < deadline:
        mine.round()
        time.sleep(0.1)
    assert begun.count("stage") >= 3
    assert begun.count("settle") == 1
    release.set()
    wait_until(lambda: mine.round() or begun.count("settle") == 2, 10)


def _together(claimed: Claim) -> None:
    [finished] = transitions.finish_at_once([SUCCESS.of(claimed, waited=2.0, ended=time.monotonic())])
    assert finished.id == claimed.job_id


ENDS: dict[str, Callable[[Claim], object]] = {
    "in a slice": _together,
    "alone": finish,
    "after a wait in the spool": lambda claimed: finish(claimed, replace(SUCCESS, ago=5.0)),
    "failed": lambda claimed: finish(claimed, ERROR),
    "to be tried again": lambda claimed: finish(claimed, AGAIN),
    "lost": lambda claimed: finish(claimed, LOST),
    "cancelled while it waits": lambda claimed: (finish(claimed, AGAIN), cancel(claimed.job_id)),
    "cancelled while it runs": lambda claimed: (cancel(claimed.job_id), finish(claimed, ERROR)),
}


@pytest.mark.parametrize("how", ENDS)
def test_nothing_ends_before_it_began(how: str) -> None:
    job = record(max_attempts=3)
    if how != "in a slice":  # a job that others wait for never travels in one
        record(parents=[job.id])
    claimed = must_claim(job.task_id, worker())
    set_back()
    ENDS[how](claimed)
    settle()
    times = sql("SELECT started_at, finished_at, now() FROM jobs WHERE id = :id", id=job.id)
    times += sql("SELECT started_at, finished_at, now() FROM attempts")
    assert len(times) == 2
    for started, finished, now in times:
        assert started <= (finished or now) <= now


def test_nor_does_a_cancel_come_before_the_start_of_what_was_given_back() -> None:
    job, me = record(), worker()
    must_claim(job.task_id, me)
    with engine.begin() as connection:
        transitions.release(connection, registration(me))
    set_back()
    assert cancel(job.id) == ([job.id], [])
    [(started, finished)] = sql("SELECT started_at, finished_at FROM jobs WHERE id = :id", id=job.id)
    assert started <= finished
