"""What a job submits is found again by its next attempt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import simcelery
from simcelery import Job
from simcelery.services import Services
from simcelery.submission import lineage, submit
from simcelery.worker import folders
from simcelery.worker.child import attempt as running
from simcelery.worker.context import CurrentJob
from tests.board_helpers import ERROR, cut_transactions, finish, must_claim, record, row, sql, state, worker

pytestmark = pytest.mark.usefixtures("board")


@simcelery.workflow(name="within")
def within(x: Any = 0) -> Any:
    return x


@contextmanager
def attempt(number: int | None = 41) -> Iterator[None]:
    """An attempt of a job."""
    lineage.enter(number)
    try:
        yield
    finally:
        lineage.enter(None)


def submit_some() -> list[Job]:
    first = within.submit(1)
    return [first, within.submit(first), within.submit(1), *within.submit_many({"x": x} for x in (2, 1, 2))]


def test_each_attempt_of_a_job_gets_the_same_jobs() -> None:
    with attempt():
        before = submit_some()
    with attempt():
        again = submit_some()
    assert len(set(before)) == 6
    assert [job.id for job in again] == [job.id for job in before]
    assert {job.how for job in again} == {"existing"}
    assert sql("SELECT count(*), count(DISTINCT parent_id) FROM jobs") == [(6, 1)]
    with attempt(42):
        assert not set(submit_some()) & set(before)
    assert sql("SELECT count(*) FROM jobs") == [(12,)]


def test_one_that_did_not_succeed_is_retried_unless_something_else_is_said() -> None:
    with attempt():
        [failed, kept] = [within.submit(x) for x in (1, 2)]
    for job in (failed, kept):
        finish(must_claim(job.task_id, worker(), workflow="within"), ERROR)
    with attempt():
        assert within.submit(1).how == "retried"
        assert within.submit(2, on_failed="keep").how == "existing"
    assert [state(job.id) for job in (failed, kept)] == ["pending", "failed"]


def test_a_key_of_its_own_and_dedupe_count_as_ever() -> None:
    with attempt():
        keyed = within.submit(1, key="mine")
        same = within.submit(2, dedupe=True)
    assert row(keyed.id).idempotency_key == "mine"
    assert within.submit(3, key="mine") == keyed
    with attempt(42):
        assert within.submit(2, dedupe=True) == same


def test_a_submission_waits_for_the_board_within_a_job_and_is_made_once(
    board: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = must_claim(record().task_id, worker())
    cuts: list[str] = []

    def cut(line: str) -> None:
        if line == "before_record_commit" and len(cuts) < 2:
            cuts.append(line)
            cut_transactions(board)

    monkeypatch.setattr(submit, "failpoint", cut)
    folder = folders.of_attempt(claim.job_id, claim.attempt, claim.claim_id)
    with running._inside(CurrentJob(claim, folder)):
        jobs = [within.submit(1)]
        assert len(cuts) == 2
        cuts.clear()
        jobs += within.submit_many({"x": x} for x in (2, 3))
        assert len(cuts) == 2
    assert sql("SELECT id FROM jobs WHERE workflow = 'within' ORDER BY id") == [(job.id,) for job in jobs]


def test_outside_of_a_job_each_submission_is_another_job() -> None:
    assert within.submit(1) != within.submit(1)
    assert sql("SELECT count(*) FROM jobs WHERE idempotency_key IS NULL") == [(2,)]
