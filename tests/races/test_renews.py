"""A job that is found by its key takes over the parameter that makes no other job of it."""

from __future__ import annotations

from typing import Any

import pytest

from simcelery.board import engine, transitions
from simcelery.board.values import Recorded
from tests.board_helpers import AGAIN, finish, must_claim, new_job, record, sql, state, worker

pytestmark = pytest.mark.usefixtures("board")


def call(key: str, source: str, **changes: Any) -> dict[str, Any]:
    parameters = {"source": source, "x": 1, "key": key}
    return {"idempotency_key": key, "parameters": parameters, "renews": "source", **changes}


def parameters_of(job: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = sql("SELECT parameters FROM jobs WHERE id = :id", id=job.id)[0][0]
    return found


def revisions() -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in sql("SELECT job_id, parameters->>'source', revised_by FROM revisions ORDER BY job_id")
    ]


def test_of_several_that_wait_each_takes_its_own_and_the_rest_stays() -> None:
    first, second = record(**call("a", "old a")), record(**call("b", "old b"))
    other = record(idempotency_key="c", parameters={"source": "old c"})
    with engine.begin() as connection:
        again = transitions.record(
            connection,
            [
                new_job(idempotency_key="c", parameters={"source": "new c"}),
                new_job(**call("b", "new b", submitted_by="eve")),
                new_job(**call("a", "new a", submitted_by="eve")),
            ],
        )
    assert [(job.id, job.how) for job in again] == [(one.id, "existing") for one in (other, second, first)]
    assert parameters_of(first) == {"source": "new a", "x": 1, "key": "a"}
    assert parameters_of(second) == {"source": "new b", "x": 1, "key": "b"}
    assert parameters_of(other) == {"source": "old c"}
    assert [row[:2] for row in revisions()] == [(first.id, "old a"), (second.id, "old b")]


def test_who_submitted_again_stands_beside_what_was_there() -> None:
    job = record(**call("a", "old", submitted_by="adam"))
    record(**call("a", "new", submitted_by="eve"))
    assert revisions() == [(job.id, "old", "eve")]


def test_what_is_the_same_is_not_written_again() -> None:
    first, second = record(**call("a", "same")), record(**call("b", "old"))
    with engine.begin() as connection:
        transitions.record(connection, [new_job(**call("a", "same")), new_job(**call("b", "new"))])
    assert revisions() == [(second.id, "old", "test")]
    record(**call("a", "same"))
    assert parameters_of(first)["source"] == "same"
    assert len(revisions()) == 1


def test_what_runs_or_has_ended_keeps_what_it_ran_with() -> None:
    me = worker()
    job = record(**call("a", "old"))
    claim = must_claim(job.task_id, me)
    assert record(**call("a", "new")).how == "existing"
    assert parameters_of(job)["source"] == "old"
    finish(claim)
    assert record(**call("a", "new")).how == "existing"
    assert (parameters_of(job)["source"], state(job.id), revisions()) == ("old", "succeeded", [])


def test_one_that_waits_for_its_next_attempt_runs_it_with_the_new_one() -> None:
    job = record(**call("a", "old", max_attempts=2))
    finish(must_claim(job.task_id, worker()), AGAIN)
    record(**call("a", "new"))
    assert parameters_of(job)["source"] == "new"


def test_it_is_found_by_what_it_now_has() -> None:
    jobs = [record(**call(str(i), "old")) for i in range(3)]
    sql("INSERT INTO fingerprints SELECT id, job_fingerprint(workflow, version, parameters) FROM jobs")
    assert len(sql("SELECT * FROM fingerprints")) == 3
    before = dict(map(tuple, sql("SELECT job_id, fingerprint FROM fingerprints")))
    record(**call("1", "new"))
    after = dict(map(tuple, sql("SELECT job_id, fingerprint FROM fingerprints")))
    assert [job.id for job in jobs if before[job.id] != after[job.id]] == [jobs[1].id]
