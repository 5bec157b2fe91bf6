"""A board that was restored gives a live worker's id to another one: neither touches what is the other's."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from simcelery.board import engine, leases, quarantine, transitions
from simcelery.board.values import Claim, ClaimRequest, Registration
from tests.board_helpers import (
    ERROR,
    LOST,
    attempts,
    finish,
    must_claim,
    record,
    registration,
    row,
    sql,
    state,
    worker,
)

pytestmark = pytest.mark.usefixtures("board")

PID = 100  # of a pool child: on another host it may well be the same


@pytest.fixture
def twins() -> tuple[Registration, Registration]:
    """The worker that was there first, and the one that has its id now."""
    first = registration(worker(workflows=["w"]))
    sql("DELETE FROM workers")
    sql("ALTER SEQUENCE workers_id_seq RESTART WITH :id".replace(":id", str(first.worker_id)))
    second = registration(worker(workflows=["w"]))
    assert second.worker_id == first.worker_id
    assert second.key != first.key
    return first, second


def wanted(me: Registration, task_id: uuid.UUID) -> ClaimRequest:
    return ClaimRequest(task_id, "w", uuid.uuid4(), me, PID, "default")


def test_only_the_one_that_is_on_the_board_renews(twins: tuple[Registration, Registration]) -> None:
    with engine.begin() as connection:
        assert [leases.renew(connection, me, 20.0) for me in twins] == [False, True]


def test_only_the_one_that_is_on_the_board_claims(twins: tuple[Registration, Registration]) -> None:
    job = record()
    first, second = (wanted(me, job.task_id) for me in twins)
    assert transitions.claim(first) == []
    assert not transitions.holds_lease(first)
    [claimed] = transitions.claim(second)
    assert transitions.holds_lease(second)
    assert transitions.forgotten(first) == []
    assert transitions.forgotten(second) == [claimed]


ACTS: dict[str, Callable[[Connection, Registration, Claim], object]] = {
    "it shuts down": lambda c, me, _: (transitions.release(c, me), leases.end(c, me)),
    "its pool child dies": lambda c, me, claim: transitions.finish(
        c, transitions.by_child(claim.task_id, me, PID), LOST
    ),
    "its pool child dies with a slice": lambda c, me, _: transitions.release_child(c, me, PID, uuid.uuid4()),
    "it goes into quarantine": lambda c, me, _: quarantine.enter(c, me, ["w"], "all fails here"),
    "it withdraws": lambda c, me, _: quarantine.withdraw(c, me, "no room"),
}


@pytest.mark.parametrize("name", ACTS)
def test_what_the_other_one_does_touches_neither_worker_nor_job(
    name: str, twins: tuple[Registration, Registration]
) -> None:
    first, second = twins
    worker(workflows=["w"])  # a peer: without one nobody is quarantined
    claimed = must_claim(record().task_id, second.worker_id, pid=PID)
    before = sql("SELECT * FROM workers ORDER BY id")
    with engine.begin() as connection:
        ACTS[name](connection, first, claimed)
    assert state(claimed.job_id) == "running"
    assert sql("SELECT * FROM workers ORDER BY id") == before
    finish(claimed)
    assert [one["outcome"] for one in attempts(claimed.job_id)] == ["succeeded"]


def test_a_quarantine_of_the_one_hands_back_no_failure_of_the_other(
    twins: tuple[Registration, Registration],
) -> None:
    first, second = twins
    worker(workflows=["w"])
    job = record()
    finish(must_claim(job.task_id, second.worker_id), ERROR)
    with engine.begin() as connection:
        assert quarantine.enter(connection, second, ["w"], "all fails here")
    with engine.begin() as connection:
        quarantine.lift(connection, first)
        assert transitions.hand_back(connection, [job.task_id], first) == []
        assert [one.id for one in transitions.hand_back(connection, [job.task_id], second)] == [job.id]
    assert row(job.id).state == "pending"
