"""Handles of jobs that prune has deleted: each says so, and none returns as if all were well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simcelery import Job, as_completed
from simcelery.errors import JobNotFoundError
from tests.board_helpers import ERROR, finish, must_claim, record, sql, state, worker

pytestmark = pytest.mark.usefixtures("board")


def failed() -> Job:
    recorded = record()
    finish(must_claim(recorded.task_id, worker()), ERROR)
    return Job(recorded.id, recorded.task_id, "w")


USES: dict[str, Callable[[Job], Any]] = {
    "retry": lambda job: job.retry(),
    "cancel": lambda job: job.cancel(),
    "state": lambda job: job.state,
    "result": lambda job: job.result(timeout=1),
    "wait": lambda job: job.wait(timeout=1),
    "log": lambda job: job.log(),
    "attempts": lambda job: job.attempts(),
    "as_completed": lambda job: list(as_completed([job], timeout=1)),
}


@pytest.mark.parametrize("use", USES)
def test_a_job_that_was_pruned_is_no_longer_on_the_board(use: str) -> None:
    job = failed()
    sql("DELETE FROM jobs WHERE id = :id", id=job.id)
    with pytest.raises(JobNotFoundError, match=f"job {job.id}"):
        USES[use](job)


@pytest.mark.parametrize("use", ["retry", "cancel", "state", "log", "attempts"])
def test_a_job_whose_number_was_given_out_again_is_not_taken_for_the_new_one(use: str) -> None:
    job = failed()
    sql("UPDATE jobs SET task_id = gen_random_uuid() WHERE id = :id", id=job.id)
    with pytest.raises(JobNotFoundError):
        USES[use](job)
    assert state(job.id) == "failed"
