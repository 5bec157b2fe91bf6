"""The result backend: jobs are on the board, other tasks in the stock tables, nothing is unpickled."""

from __future__ import annotations

import pickle
import uuid

import pytest
from celery.result import AsyncResult
from sqlalchemy import text

import simcelery
from simcelery.board import engine, transitions
from simcelery.errors import JobCancelledError, JobFailedError
from tests.board_helpers import AGAIN, ERROR, SUCCESS, finish, must_claim, record, row, state, worker

pytestmark = pytest.mark.usefixtures("board")


def result_of(task_id: uuid.UUID) -> AsyncResult:
    """What a Celery client sees."""
    return simcelery.app.AsyncResult(str(task_id))


def test_async_result_tells_the_jobs_state_in_celerys_words() -> None:
    me = worker()
    job = record(max_attempts=2)
    assert result_of(job.task_id).state == "PENDING"
    assert AsyncResult(job.task_id, app=simcelery.app).state == "PENDING"  # a UUID will do as well
    claimed = must_claim(job.task_id, me)
    assert result_of(job.task_id).state == "STARTED"
    finish(claimed, AGAIN)
    assert result_of(job.task_id).state == "RETRY"
    with engine.begin() as connection:
        transitions.stage(connection, 1000)
    finish(must_claim(job.task_id, me), SUCCESS)
    assert (result_of(job.task_id).state, result_of(job.task_id).result) == ("SUCCESS", 1)
    child = record(parents=[record().id])
    assert result_of(child.task_id).state == "PENDING"


def test_async_result_raises_what_ended_the_job() -> None:
    failed, cancelled = record(), record()
    finish(must_claim(failed.task_id, worker()), ERROR)
    with engine.begin() as connection:
        transitions.cancel(connection, [cancelled.id], by="test")
    assert (result_of(failed.task_id).state, result_of(cancelled.task_id).state) == ("FAILURE", "REVOKED")
    with pytest.raises(JobFailedError, match=f"job {failed.id} .* failed: ValueError: boom"):
        result_of(failed.task_id).get(timeout=1)
    with pytest.raises(JobCancelledError):
        result_of(cancelled.task_id).get(timeout=1)


def test_celerys_revoke_becomes_the_boards_cancel() -> None:
    waiting, running = record(), record()
    must_claim(running.task_id, worker())
    simcelery.app.control.revoke([str(waiting.task_id), str(running.task_id)])
    assert state(waiting.id) == "cancelled"
    assert row(running.id).cancel_requested_at is not None
    other = record()
    result_of(other.task_id).revoke(terminate=True)
    assert state(other.id) == "cancelled"


def test_other_tasks_use_the_stock_tables() -> None:
    backend = simcelery.app.backend
    task_id = str(uuid.uuid4())
    backend.store_result(task_id, {"any": "thing"}, "SUCCESS")
    assert simcelery.app.AsyncResult(task_id).get(timeout=1) == {"any": "thing"}
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM celery_taskmeta")) == 1
    assert len(simcelery.jobs()) == 0
    assert simcelery.app.AsyncResult("not a uuid").state == "PENDING"


def test_nothing_is_unpickled() -> None:
    task_id = str(uuid.uuid4())
    backend = simcelery.app.backend
    backend.store_result(task_id, 1, "SUCCESS")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE celery_taskmeta SET result = :bomb"), {"bomb": pickle.dumps(Bomb(), protocol=4)}
        )
    backend._cache.clear()
    with pytest.raises(Exception, match=r".+"):
        simcelery.app.AsyncResult(task_id).get(timeout=1)
    assert not Bomb.exploded


class Bomb:
    """Tells whether it was unpickled."""

    exploded = False

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return (explode, ())


def explode() -> None:
    Bomb.exploded = True
