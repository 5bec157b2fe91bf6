"""Jobs that were pruned meanwhile, and numbers that were given out again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import simcelery
from simcelery import Job, workflow
from simcelery.board import engine, reads
from simcelery.errors import JobNotFoundError, StateError
from simcelery.submission import actions
from simcelery.submission.handle import Jobs
from tests.board_helpers import ERROR, finish, must_claim, record, row, sql, state, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


@workflow(name="gone.takes")
def takes(values: int | list[int]) -> int:
    return 0


ASKED: dict[str, Callable[[Job], Any]] = {
    "state": lambda job: job.state,
    "progress": lambda job: job.progress,
    "wait": lambda job: job.wait(within(5)),
    "result": lambda job: job.result(5),
    "cancel": lambda job: job.cancel(),
    "retry": lambda job: job.retry(),
    "retry with other parameters": lambda job: job.retry(set={"values": 2}),
    "another's new parameter": lambda job: failed().retry(set={"values": job}),
    "release": simcelery.release,
    "artifacts": lambda job: job.artifacts(),
    "artifact": lambda job: job.artifact("some.txt"),
    "corrections": lambda job: job.corrections(),
    "steps": lambda job: job.steps(),
    "explain": lambda job: job.explain(),
    "parameters": lambda job: job.parameters,
    "log": lambda job: job.log(),
    "attempts": lambda job: job.attempts(),
    "as_completed": lambda job: list(simcelery.as_completed([job], timeout=within(5))),
    "a parameter": lambda job: takes.submit(job),
    "a parameter of many": lambda job: takes.submit_many([{"values": [1, job]}]),
    "after": lambda job: takes.submit(1, after=job),
    "after_any": lambda job: takes.submit(1, after_any=[job]),
    "results": lambda job: Jobs([record_of(job)], "w").results(5),
}


def record_of(job: Job) -> Any:
    from simcelery.board.values import Recorded

    return Recorded(job.id, job.task_id, "new")


def failed() -> Job:
    job = record(workflow="gone.takes", parameters={"values": 1})
    finish(must_claim(job.task_id, worker(), workflow="gone.takes"), ERROR)
    return simcelery.get_job(job.id)


@pytest.mark.parametrize("ask", ASKED)
def test_a_handle_of_a_pruned_job_says_so(ask: str) -> None:
    job = failed()
    sql("DELETE FROM jobs")
    with pytest.raises(JobNotFoundError, match=rf"^job {job.id} is no longer on the board|no job {job.id}"):
        ASKED[ask](job)


@pytest.mark.parametrize("ask", ASKED)
def test_a_handle_never_means_the_job_that_has_its_number_now(ask: str) -> None:
    job = failed()
    sql("UPDATE jobs SET task_id = gen_random_uuid()")
    before = row(job.id)
    with pytest.raises(JobNotFoundError, match=f"job {job.id} is no longer on the board"):
        ASKED[ask](job)
    assert row(job.id) == before


def test_a_retry_of_a_job_that_is_pruned_after_it_was_looked_at_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = failed()
    look = reads.states

    def and_prune(connection: Any, ids: Any) -> Any:
        found = look(connection, ids)
        sql("DELETE FROM jobs")
        return found

    monkeypatch.setattr(reads, "states", and_prune)
    with pytest.raises(JobNotFoundError, match=f"no job {job.id}"):
        job.retry()


def test_a_retry_that_somebody_else_has_made_meanwhile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    job = failed()
    look = reads.states

    def and_retry(connection: Any, ids: Any) -> Any:
        found = look(connection, ids)
        monkeypatch.setattr(reads, "states", look)
        actions.retry([job.id])
        return found

    monkeypatch.setattr(reads, "states", and_retry)
    with pytest.raises(StateError, match=f"job {job.id} is pending"):
        job.retry()
    assert state(job.id) == "pending"


def test_what_was_pruned_meanwhile_is_not_counted() -> None:
    here, gone = failed(), failed()
    sql("DELETE FROM jobs WHERE id = :id", id=gone.id)
    assert simcelery.jobs(ids=[here.id, gone.id]).retry() == 1
    with engine.begin() as connection:
        assert reads.states(connection, [here.id, gone.id]) == {here.id: "pending"}
    assert simcelery.jobs(ids=[here.id, gone.id]).cancel() == 1
