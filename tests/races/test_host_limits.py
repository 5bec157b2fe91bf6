"""Limits of hosts: never one too many at once, whichever workers of the host claim; others are left alone."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import simcelery
from simcelery.board import engine, leases, limits, transitions
from simcelery.board.limits import LimitRow
from simcelery.board.values import Claim, ClaimRequest
from tests.board_helpers import (
    LOST,
    SUCCESS,
    finish,
    record,
    registration,
    somebody_waits_for_a_turn,
    states,
    uncommitted_claim,
    worker,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("board")
EVERY = "host:*"


def limit(most: int, name: str = EVERY) -> None:
    with engine.begin() as connection:
        limits.put(connection, {name: most}, "test")


def asked(me: int, pid: int = 1, task: uuid.UUID | None = None, more: int = 0) -> ClaimRequest:
    return ClaimRequest(
        task or uuid.uuid4(), "w", uuid.uuid4(), registration(me), pid, "default", more=more, durable=False
    )


def wake(me: int, pid: int = 1, task: uuid.UUID | None = None, more: int = 0) -> list[Claim]:
    """What a message leads to."""
    return transitions.claim(asked(me, pid, task, more))


def listed() -> dict[str, tuple[int, int]]:
    with engine.begin() as connection:
        return {row.name: (row.used, row.most) for row in limits.listed(connection)}


def test_one_too_many_waits_on_its_host_and_runs_on_another_one() -> None:
    here, beside, elsewhere = worker(), worker(), worker(host="other")
    limit(2)
    jobs = [record() for _ in range(5)]
    [first] = wake(here)
    assert len(wake(beside)) == 1
    assert wake(here, 2) == wake(beside, 2) == []
    assert transitions.waits_for_room(asked(here, 2)) == "host"
    assert transitions.waits_for_room(asked(elsewhere, 2)) is None
    assert len(wake(elsewhere)) == 1
    assert states(jobs) == ["running"] * 3 + ["pending"] * 2
    assert listed() == {EVERY: (2, 2)}
    finish(first, SUCCESS)
    assert transitions.waits_for_room(asked(here, 2)) is None
    assert len(wake(beside, 2)) == 1
    assert wake(here, 2) == []


def test_the_limit_of_a_host_counts_more_than_that_of_every_host() -> None:
    small, big = worker(), worker(host="big")
    limit(1)
    limit(3, "host:big")
    for _ in range(8):
        record()
    assert [len(wake(small, pid)) for pid in (1, 2)] == [1, 0]
    assert [len(wake(big, pid)) for pid in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert listed() == {EVERY: (1, 1), "host:big": (3, 3)}
    limit(0, "host:test")
    assert wake(small, 3) == []


def test_without_a_limit_of_hosts_a_host_is_never_full() -> None:
    me = worker()
    limit(0, "host:elsewhere")
    limit(0, "tag:other")
    for pid in range(1, 6):
        record()
        assert len(wake(me, pid)) == 1
    assert transitions.waits_for_room(asked(me)) is None


def test_of_many_claims_at_once_only_as_many_win_as_there_are_places() -> None:
    workers = [worker(nodename=f"w{n}@test") for n in range(3)]
    limit(4)
    for _ in range(30):
        record()
    ready = threading.Barrier(12)

    def some(place: int) -> int:
        ready.wait()
        return len(wake(workers[place % 3], pid=place + 1))

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(some, range(12))) == 4


def test_a_claim_that_has_not_committed_yet_has_its_place() -> None:
    one, other = worker(), worker()
    limit(1)
    jobs = [record(), record()]
    with ThreadPoolExecutor(1) as pool:
        with uncommitted_claim(jobs[0], one):
            second = pool.submit(wake, other)
            wait_until(lambda: second.done() or somebody_waits_for_a_turn(), 10)
        assert second.result() == []
    assert states(jobs) == ["running", "pending"]


def test_a_slice_takes_one_place_since_its_jobs_run_one_after_the_other() -> None:
    here, beside = worker(), worker()
    limit(2)
    for _ in range(30):
        record()
    first, second = wake(here, more=9), wake(beside, more=9)
    assert [len(first), len(second)] == [10, 10]
    assert listed() == {EVERY: (2, 2)}
    assert wake(here, 2) == []
    for one in first:
        assert wake(here, 2) == []
        finish(one, SUCCESS)
    assert len(wake(here, 2)) == 1


def test_a_child_that_still_holds_jobs_claims_again_in_its_own_place() -> None:
    me = worker()
    limit(1)
    for _ in range(3):
        record()
    assert len(wake(me)) == len(wake(me)) == 1
    assert wake(me, 2) == []


@pytest.mark.parametrize("how", [SUCCESS, LOST])
def test_a_place_is_free_when_the_end_is_on_the_board_and_not_before(how: object) -> None:
    dead, other = worker(), worker()
    limit(1)
    for _ in range(2):
        record()
    [held] = wake(dead)
    with engine.begin() as connection:
        leases.bury(connection, [dead])
    assert wake(other) == [], "its job may still run"
    finish(held, how)  # type: ignore[arg-type]
    assert len(wake(other)) == 1


def test_a_claim_under_a_limit_of_its_host_waits_for_the_disk() -> None:
    me = worker()
    limit(1)
    [job] = [record()]
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
        statement = "SELECT id FROM claim_jobs(%s, 'w', gen_random_uuid(), %s, 7, 'default', 0, 0, %s)"
        assert connection.exec_driver_sql(statement, (job.task_id, me, registration(me).key)).all()
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_it_holds_together_with_other_limits() -> None:
    me = worker()
    limit(2)
    limit(1, "tag:licence")
    licensed, plain = [record(tags=["licence"]) for _ in range(2)], [record() for _ in range(2)]
    assert wake(me, 1, licensed[0].task_id)[0].job_id == licensed[0].id
    assert wake(me, 2, licensed[1].task_id)[0].job_id == plain[0].id
    assert wake(me, 3, plain[1].task_id) == []
    assert states(licensed) == ["running", "blocked"]


def test_what_keeps_a_job_from_running_is_named() -> None:
    me = worker(workflows=["w"], concurrency=4)
    limit(1)
    jobs = [record(tags=["mine"]) for _ in range(2)]
    wake(me)
    said = str(simcelery.get_job(jobs[1].id).explain())
    assert "it waits for a place on test: host:*: 1 of 1 used" in said
    assert "simcelery limits set 'host:*' N" in said
    assert "free slot" not in said
    said = str(simcelery.jobs(tags=["mine"]).explain())
    assert "1 job waits for a place on test: host:*: 1 of 1 used" in said
    assert "free" not in said
    worker(workflows=["w"], host="other", nodename="o@other")
    said = str(simcelery.get_job(jobs[1].id).explain())
    assert "host:*" not in said
    assert "its message has not been sent yet" in said
    with engine.begin() as connection:
        assert limits.full_hosts(connection) == {me: LimitRow(EVERY, 1, 1, 0)}
