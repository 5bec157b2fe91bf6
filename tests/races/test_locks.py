"""Who waits for whom: rows are locked in the order of their ids, and a backlog holds up nobody."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from simcelery.board import engine, leases, submitting, transitions
from simcelery.board.sql import statement
from simcelery.board.transitions.claim import asked
from simcelery.board.values import Claim, ClaimRequest, Recorded, Revision
from simcelery.services import Services
from tests.board_helpers import (
    ERROR,
    SUCCESS,
    cancel,
    finish,
    must_claim,
    record,
    registration,
    retry,
    settle,
    sql,
    state,
    worker,
)
from tests.waiting import wait_until, within


def claims(number: int) -> tuple[int, list[Claim]]:
    """Jobs that run in one worker's child, ascending; the last was claimed first, so its row comes first."""
    me, jobs = worker(), [record() for _ in range(number)]
    return me, [must_claim(job.task_id, me) for job in reversed(jobs)][::-1]


def release(me: int, held: list[Claim]) -> None:
    with engine.begin() as connection:
        transitions.release(connection, registration(me))


def release_child(me: int, held: list[Claim]) -> None:
    with engine.begin() as connection:
        transitions.release_child(connection, registration(me), 100, uuid.uuid4())


def succeed(me: int, held: list[Claim]) -> None:
    transitions.finish_at_once([SUCCESS.of(one) for one in held[::-1]])


TRANSITIONS: dict[str, Callable[[int, list[Claim]], object]] = {
    "release": release,
    "release_child": release_child,
    "cancel": lambda me, held: cancel(*(one.job_id for one in held[::-1])),
    "put_back": lambda me, held: transitions.put_back(held[::-1]),
    "succeed": succeed,
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_who_waits_for_a_row_holds_none_with_a_greater_id(board: Services, name: str) -> None:
    """So no two of them wait for each other. What waits here takes all rows when the lowest is let go."""
    me, held = claims(5)
    lowest, *greater = (one.job_id for one in held)
    assert_locks_in_order(board, "jobs", lowest, greater, lambda: TRANSITIONS[name](me, held))


def test_a_success_unblocks_its_dependents_in_the_order_of_their_ids(board: Services) -> None:
    parent = record()
    lowest, *greater = [record(parents=[parent.id]).id for _ in range(5)]
    success = SUCCESS.of(must_claim(parent.task_id, worker()))
    assert_locks_in_order(board, "jobs", lowest, greater, lambda: transitions.finish_at_once([success]))


def test_successes_lock_whoever_waits_for_one_of_them_before_a_later_one(board: Services) -> None:
    """Or one that locks all of these in the order of their ids, such as a cancel, would wait in a circle."""
    first = record()
    child = record(parents=[first.id])
    second, me = record(), worker()
    ended = [SUCCESS.of(must_claim(job.task_id, me)) for job in (second, first)]
    assert_locks_in_order(board, "jobs", child.id, [second.id], lambda: transitions.finish_at_once(ended))


def test_a_revision_locks_the_parents_to_be_with_the_jobs_in_the_order_of_their_ids(board: Services) -> None:
    parent, job = record(), record(parameters={"start": 1})
    finish(must_claim(job.task_id, worker()), ERROR)
    [(seen,)] = sql(
        "SELECT hashtextextended(CAST(parameters AS text), 0) FROM jobs WHERE id = :id", id=job.id
    )
    change = Revision(
        job_id=job.id,
        workflow="w",
        version="",
        seen=seen,
        before={"start": 1},
        changes={"start": {"$job": parent.id}},
        added=frozenset({parent.id}),
    )

    def retry() -> None:
        with engine.begin() as connection:
            transitions.retry(connection, [job.id], revisions=[change], by="test")

    assert_locks_in_order(board, "jobs", parent.id, [job.id], retry)


def retried(*jobs: Recorded) -> Callable[[], object]:
    """Retries jobs, which have failed."""
    me = worker()
    for job in jobs:
        finish(must_claim(job.task_id, me), ERROR)
    settle()
    return lambda: retry(*(job.id for job in jobs))


def test_a_retry_locks_what_waits_for_an_end_before_a_later_job(board: Services) -> None:
    first, runs = record(), record()
    report = record(after_any=frozenset([first.id, runs.id]))
    second, more = record(), record(after_any=frozenset([first.id, runs.id]))
    act = retried(first, second)
    assert state(report.id) == state(more.id) == "blocked"
    assert_locks_in_order(board, "jobs", report.id, [second.id, more.id], act)


def test_a_retry_locks_what_it_revives_before_a_later_job(board: Services) -> None:
    first = record()
    waits = record(parents=[first.id])
    second = record()
    act = retried(first, second)
    assert state(waits.id) == "upstream_failed"
    assert_locks_in_order(board, "jobs", waits.id, [second.id], act)


def test_a_retry_locks_the_other_parents_of_what_it_revives_before_that(board: Services) -> None:
    first, other = record(), record()
    both = record(parents=[first.id, other.id])
    act = retried(first)
    assert state(both.id) == "upstream_failed"
    assert_locks_in_order(board, "jobs", other.id, [both.id], act)


def test_workers_are_buried_in_the_order_of_their_ids(board: Services) -> None:
    lowest, *greater = [worker() for _ in range(5)]
    sql("UPDATE workers SET note = 'its row comes last' WHERE id = :id", id=lowest)

    def bury() -> None:
        with engine.begin() as connection:
            leases.bury(connection, [*greater, lowest])

    assert_locks_in_order(board, "workers", lowest, greater, bury)


def assert_locks_in_order(
    board: Services, table: str, lowest: int, greater: list[int], act: Callable[[], object]
) -> None:
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(f"SELECT FROM {table} WHERE id = {lowest} FOR UPDATE")
        done = pool.submit(act)
        try:
            wait_until(lambda: done.done() or is_waited_for(holder), every=0.01)
            assert not done.done(), "nobody waited for the row that was held"
            with psycopg.connect(board.database_url) as other:
                free = other.execute(
                    f"SELECT id FROM {table} WHERE id = ANY (%s) ORDER BY id FOR UPDATE SKIP LOCKED",
                    [greater],
                ).fetchall()
            assert [number for (number,) in free] == greater
        finally:
            holder.rollback()
        done.result(within(30))


def is_waited_for(holder: psycopg.Connection) -> bool:
    """Whether another session waits for what this one has locked."""
    mine = holder.info.backend_pid
    return bool(sql("SELECT FROM pg_stat_activity WHERE :mine = ANY (pg_blocking_pids(pid))", mine=mine))


def test_the_note_that_a_message_was_sent_passes_over_a_job_that_is_being_claimed(board: Services) -> None:
    claimed, waits = record().id, record().id
    with psycopg.connect(board.database_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(f"SELECT FROM jobs WHERE id = {claimed} FOR UPDATE")
        done = pool.submit(submitting.mark_published, [claimed, waits])
        try:
            wait_until(lambda: done.done() or is_waited_for(holder), every=0.01)
            assert done.done(), "it waits for whoever claims"
        finally:
            holder.rollback()
    assert sql("SELECT id FROM jobs WHERE published_at IS NOT NULL") == [(waits,)]


# --- one backlog, many children --------------------------------------------------------------------


def wanted(me: int, *, more: int = 0) -> ClaimRequest:
    """A claim whose message's own job is gone, so that another of the backlog takes its place."""
    return ClaimRequest(uuid.uuid4(), "w", uuid.uuid4(), registration(me), 100, "default", more=more)


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "never sent"])
@pytest.mark.parametrize("more", [0, 2], ids=["one job", "a slice"])
def test_children_on_one_backlog_do_not_wait_for_each_other(board: Services, sent: bool, more: int) -> None:
    me, backlog = worker(), [record().id for _ in range(6)]
    if sent:
        sql("UPDATE jobs SET published_at = now() + id * interval '1 ms'")
    with psycopg.connect(board.database_url) as first, ThreadPoolExecutor(1) as pool:
        taken = [
            number
            for (number, *_) in first.execute(statement("claim").encode(), asked(wanted(me, more=more)))
        ]
        second: Future[list[Claim]] = pool.submit(transitions.claim, wanted(me, more=more))
        try:  # while the first has not committed
            wait_until(lambda: second.done() or is_waited_for(first), every=0.01)
            assert second.done(), "it waits for the first"
        finally:
            first.commit()
        found = [one.job_id for one in second.result()]
    assert sorted(taken) + sorted(found) == backlog[: 2 * (1 + more)]
