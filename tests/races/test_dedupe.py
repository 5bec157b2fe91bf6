"""Submissions with the same key, one after the other and at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from simcelery.board import engine, transitions
from simcelery.errors import StateError
from tests.board_helpers import ERROR, finish, must_claim, new_job, record, state, worker

pytestmark = pytest.mark.usefixtures("board")


def count() -> int:
    with engine.begin() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM jobs")) or 0)


def test_a_live_or_succeeded_holder_is_returned() -> None:
    me = worker()
    first = record(idempotency_key="k")
    assert record(idempotency_key="k").how == "existing"
    finish(must_claim(first.task_id, me))
    again = record(idempotency_key="k")
    assert (again.id, again.task_id, again.how) == (first.id, first.task_id, "existing")
    assert count() == 1


def test_a_failed_holder_is_retried_kept_or_refused_as_asked() -> None:
    me = worker()
    first = record(idempotency_key="k")
    finish(must_claim(first.task_id, me), ERROR)
    with engine.begin() as connection:
        [kept] = transitions.record(connection, [new_job(idempotency_key="k")], on_failed="keep")
    assert (kept.how, state(first.id)) == ("existing", "failed")
    with pytest.raises(StateError, match=f"job {first.id} has the same key"), engine.begin() as connection:
        transitions.record(connection, [new_job(idempotency_key="k")], on_failed="error")
    assert record(idempotency_key="k").how == "retried"
    assert state(first.id) == "pending"


@pytest.mark.parametrize("size", [5, 500], ids=["insert", "copy"])
def test_two_bulk_submissions_of_overlapping_keys_at_once_record_each_key_once(size: int) -> None:
    start = threading.Barrier(2)

    def submit(keys: list[str]) -> list[str]:
        start.wait()
        with engine.begin() as connection:
            return [
                job.how
                for job in transitions.record(connection, [new_job(idempotency_key=key) for key in keys])
            ]

    forward = [f"k{i}" for i in range(size)]
    with ThreadPoolExecutor(2) as pool:
        hows = list(pool.map(submit, [forward, forward[::-1]]))
    assert count() == size
    assert sum(how == "new" for one in hows for how in one) == size


@pytest.mark.parametrize("size", [3, 300], ids=["insert", "copy"])
def test_the_same_key_twice_in_one_submission_is_one_job(size: int) -> None:
    with engine.begin() as connection:
        found = transitions.record(connection, [new_job(idempotency_key=f"k{i // 2}") for i in range(size)])
    assert count() == (size + 1) // 2
    assert found[0].id == found[1].id
    assert [job.how for job in found[:2]] == ["new", "existing"]
