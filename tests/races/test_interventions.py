"""What somebody does to a job by hand is on the board, with a name, exactly if it was done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simcelery.board import engine, reads, retention, transitions
from simcelery.board.reads import Filter, gates
from simcelery.board.values import Recorded
from simcelery.submission import actions, holding, lineage, releasing
from tests.board_helpers import (
    ERROR,
    claim,
    finish,
    must_claim,
    new_job,
    record,
    row,
    sql,
    state,
    sweep,
    worker,
)

pytestmark = pytest.mark.usefixtures("board")


def told(job: Recorded) -> list[tuple[str, str]]:
    """What was done to a job, and by whom, oldest first."""
    with engine.begin() as connection:
        return [(one["kind"], one["by"]) for one in reads.interventions(connection, job.id)]


def test_each_has_its_line_with_the_name_of_whoever_did_it() -> None:
    waiting, running, failed = record(), record(), record(max_attempts=1)
    must_claim(running.task_id, worker())
    finish(must_claim(failed.task_id, worker()), ERROR)
    child = record(parents=[failed.id])
    actions.cancel([waiting.id, running.id], by="ada")
    actions.retry([failed.id, waiting.id], by="eve")
    assert told(waiting) == [("cancel", "ada"), ("retry", "eve")]
    assert told(running) == [("cancel", "ada")]
    assert told(failed) == [("retry", "eve")]
    assert told(child) == [], "it has not been touched"
    actions.cancel([waiting.id])
    assert told(waiting)[-1] == ("cancel", lineage.submitter())


@pytest.mark.parametrize("number", [1, 3], ids=["some of a sweep", "a whole sweep"])
def test_who_holds_and_releases_jobs_stands_with_each_of_them(number: int) -> None:
    jobs = sweep(3, max_fails=5)
    chosen = Filter(ids=[job.id for job in jobs[:number]])
    assert len(holding.hold(chosen, by="ada")) == number
    assert len(releasing.release(chosen, by="eve")) == number
    for job in jobs[:number]:
        assert told(job) == [("hold", "ada"), ("release", "eve")]
        assert state(job.id) == "pending"
    assert all(told(job) == [] for job in jobs[number:])


def test_what_could_not_be_done_is_not_told() -> None:
    job = record()
    finish(must_claim(job.task_id, worker()))
    actions.cancel([job.id], by="ada")
    actions.retry([job.id], by="ada")
    holding.hold(Filter(ids=[job.id]), by="ada")
    releasing.release(Filter(ids=[job.id]), by="ada")
    failed = record(max_attempts=1)
    finish(must_claim(failed.task_id, worker()), ERROR)
    assert actions.retry([failed.id], dry=True, by="ada") == [failed.id]
    assert (told(job), told(failed)) == ([], [])


def test_what_is_submitted_again_is_retried_by_whoever_submits_it() -> None:
    wanted = new_job(max_attempts=1, idempotency_key="k")
    with engine.begin() as connection:
        [job] = transitions.record(connection, [wanted])
    finish(must_claim(job.task_id, worker()), ERROR)
    with engine.begin() as connection:
        [again] = transitions.record(connection, [wanted], on_failed="retry")
    assert (again.id, told(job)) == (job.id, [("retry", wanted.submitted_by)])


def test_an_attempt_that_ends_by_itself_is_nobodys_work() -> None:
    job = record(max_attempts=2)
    finish(must_claim(job.task_id, worker()), ERROR)
    claim(job.task_id, worker())
    assert told(job) == []


def test_the_names_go_with_the_job_into_the_archive_and_away() -> None:
    job = record()
    actions.cancel([job.id], by="ada")
    sql("UPDATE jobs SET submitted_at = now() - interval '2 d', finished_at = now() - interval '1 d'")
    with engine.begin() as connection:
        [archived] = retention.archived(connection, [job.id])
        assert '"kind": "cancel"' in archived.line
        assert '"by": "ada"' in archived.line
        assert retention.delete_archived(connection, [archived], 60) == 1
    assert sql("SELECT count(*) FROM interventions") == [(0,)]


@pytest.mark.parametrize("act", [holding.hold, releasing.release])
def test_a_job_that_is_pruned_meanwhile_stops_nothing(
    act: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = sweep(3, max_fails=5)
    chosen = Filter(ids=[job.id for job in jobs])
    if act is releasing.release:
        holding.hold(chosen)
    number_of = gates.number_waiting if act is holding.hold else gates.number_held
    gone: list[int] = []

    def prune(*arguments: int) -> int:
        if not gone:
            gone.append(jobs[1].id)
            sql("DELETE FROM jobs WHERE id = :id", id=jobs[1].id)
        return number_of(*arguments)

    monkeypatch.setattr(gates, number_of.__name__, prune)
    act(chosen, by="ada")
    assert row(jobs[0].id).held is (act is holding.hold)
    assert ("hold" if act is holding.hold else "release", "ada") in told(jobs[0])
