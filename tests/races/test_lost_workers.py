"""Jobs of workers whose allocation has ended, as the scheduler says."""

from __future__ import annotations

from typing import Any

import pytest

from simcelery import failpoints
from simcelery.board import engine, leases, transitions
from simcelery.board.values import Claim
from simcelery.cluster import lost
from simcelery.settings import get_settings
from tests.board_helpers import attempts, must_claim, record, row, sql, state, worker

pytestmark = pytest.mark.usefixtures("board")


def long_job(cause: str = "preempted", told: str = "PREEMPTED", ended: str = "ended") -> tuple[Claim, int]:
    """A job that has run for ten hours, in an allocation that has ended: rescue would wait 15 minutes."""
    sql(
        "INSERT INTO clusters (name, launcher, profile, wanted, started_by) "
        "VALUES ('c', 'slurm', '{}', 1, 'me')"
    )
    over = "now(), :cause, :told" if ended == "ended" else "NULL, NULL, NULL"
    values: dict[str, Any] = {"cause": cause, "told": told} if ended == "ended" else {}
    sql(
        "INSERT INTO allocations (cluster, name, state, scheduler_id, ended_at, cause, told) "
        f"VALUES ('c', 'simcelery-c-1', '{ended}', '4711', {over})",
        **values,
    )
    me = worker(lease=600.0)
    claimed = must_claim(record().task_id, me)
    sql(
        "UPDATE workers SET allocation = 'simcelery-c-1', renewed_at = now() - interval '1 min' "
        "WHERE id = :id",
        id=me,
    )
    sql("UPDATE jobs SET started_at = now() - interval '10 h' WHERE id = :id", id=claimed.job_id)
    return claimed, me


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("walltime", "walltime"),
        ("out_of_memory", "out_of_memory"),
        ("preempted", "worker_lost"),
        ("cancelled", "worker_lost"),
        ("failed", "worker_lost"),
    ],
)
def test_they_are_taken_back_at_once_and_say_why(cause: str, expected: str) -> None:
    claimed, me = long_job(cause, "as Slurm says")
    lost.rescue("c", get_settings())
    assert (state(claimed.job_id), row(claimed.job_id).losses) == ("pending", 1)
    assert row(claimed.job_id).published_at is not None
    [ended] = attempts(claimed.job_id)
    assert (ended["outcome"], ended["cause"]) == ("lost", expected)
    said = f"allocation 4711 of its worker ended: {cause.replace('_', ' ')} (as Slurm says)"
    assert said in ended["error_message"]
    assert sql("SELECT ended_at IS NOT NULL FROM workers WHERE id = :id", id=me) == [(True,)]
    lost.rescue("c", get_settings())
    assert len(attempts(claimed.job_id)) == 1


@pytest.mark.parametrize("cause", ["gone", "not_submitted", "refused", "node_failure"])
def test_what_is_not_certain_is_left_to_lease_and_patience(cause: str) -> None:
    """Of a node that failed the scheduler has only heard nothing: what runs there may run on."""
    claimed, me = long_job(cause)
    lost.rescue("c", get_settings())
    expire(me, 800.0)
    assert (rescued(), state(claimed.job_id)) == (0, "running")
    assert sql("SELECT ended_at FROM workers WHERE id = :id", id=me) == [(None,)]
    expire(me, 1000.0)
    assert (rescued(), state(claimed.job_id)) == (1, "pending")


def expire(me: int, ago: float) -> None:
    """As if the lease of a worker had ended so many seconds ago."""
    lapsed = "lease_expires_at = now() - make_interval(secs => :s)"
    sql(f"UPDATE workers SET {lapsed} WHERE id = :id", s=ago, id=me)


def rescued() -> int:
    """How many jobs recovery takes back."""
    with engine.begin() as connection:
        return len(transitions.rescue(connection, grace=0.0, limit=1000))


def test_an_allocation_that_lives_loses_nothing() -> None:
    claimed, _ = long_job(ended="running")
    lost.rescue("c", get_settings())
    assert state(claimed.job_id) == "running"


def test_a_worker_that_still_renews_has_left_its_allocation() -> None:
    claimed, me = long_job()
    sql("UPDATE workers SET renewed_at = now() WHERE id = :id", id=me)
    lost.rescue("c", get_settings())
    assert state(claimed.job_id) == "running"


def test_a_rescue_that_was_interrupted_goes_on() -> None:
    claimed, me = long_job()
    failpoints.arm("lost_workers_buried", "raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            lost.rescue("c", get_settings())
    finally:
        failpoints.arm("lost_workers_buried", None)
    assert state(claimed.job_id) == "running"
    with engine.begin() as connection:
        assert leases.bury(connection, [me]) == []
    lost.rescue("c", get_settings())
    assert state(claimed.job_id) == "pending"
