"""`job.explain()`: the same as ``simcelery explain``, as an object and in words."""

from __future__ import annotations

import json

import pytest

import simcelery
from simcelery.board import engine
from simcelery.board.reads import sweeps
from simcelery.board.reads.jobs import Filter
from simcelery.cli import root
from simcelery.describe.explanation import Explanation
from simcelery.describe.words import spaced
from simcelery.errors import JobNotFoundError
from simcelery.services import Services
from tests.board_helpers import ERROR, cancel, finish, must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")


def explained(number: int) -> tuple[Explanation, list[str]]:
    found = simcelery.get_job(number).explain()
    return found, [reason.code for reason in found.reasons]


def test_each_state_has_its_reasons() -> None:
    pending = record().id
    found, codes = explained(pending)
    assert (found.id, found.workflow, found.state, codes) == (pending, "w", "pending", ["no_worker"])
    assert "celery -A simcelery worker -Q default" in found.reasons[0].advice

    blocked = record(parents=frozenset({pending})).id
    assert explained(blocked)[1] == ["parents"]
    assert f"simcelery explain {pending}" in str(explained(blocked)[0])
    scheduled = record(delay=3600.0).id
    assert explained(scheduled)[1] == ["run_at"]
    running = record()
    must_claim(running.task_id, worker(workflows=["w"]))
    assert explained(running.id)[1] == ["running"]
    sql(f"INSERT INTO restarts SELECT id, attempt, 0, 'WAVECAR' FROM jobs WHERE id = {running.id}")
    assert explained(running.id)[1] == ["running", "continues"]
    assert "attempt 1 continues attempt 0: WAVECAR" in str(explained(running.id)[0])
    cancel(pending)
    assert explained(pending)[1] == ["cancelled"]


def test_a_parent_that_need_not_succeed_is_no_reason_once_it_has_ended() -> None:
    failed, first, second = record(), record(), record()
    finish(must_claim(failed.task_id, worker()), ERROR)
    report = record(after_any=frozenset({failed.id, first.id})).id
    both = record(parents=frozenset({second.id}), after_any=frozenset({failed.id, first.id})).id
    assert f"it waits for job {first.id} to end (pending)" in str(explained(report)[0])
    assert f"2 jobs ({first.id}-{second.id}) (pending), for 1 of them only to end" in str(explained(both)[0])
    assert explain_many(report, both) == [(2, f"2 jobs wait for 2 jobs ({first.id}-{second.id})")]
    finish(must_claim(first.task_id, worker()), ERROR)
    found, codes = explained(report)
    assert codes[0] == "settle"
    assert "all its parents have ended" in str(found)


def explain_many(*numbers: int) -> list[tuple[int, str]]:
    """What ``explain`` says of several jobs that wait for others."""
    with engine.begin() as connection:
        held = sweeps.held_up(connection, Filter(ids=list(numbers)))
    assert (held.fallen, held.culprits) == (0, ())
    return [(held.open, f"{held.open} jobs wait for {len(held.parents)} jobs ({spaced(held.parents)})")]


@pytest.mark.parametrize("how", ["pending", "blocked"])
def test_it_says_what_the_command_line_says(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = record().id
    if how == "blocked":
        number = record(parents=frozenset({number})).id
    found, codes = explained(number)
    assert root.run(["explain", str(number)]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert root.run(["explain", str(number), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["state"]) == (found.id, found.state)
    assert [(one["code"], one["text"], one["advice"]) for one in told["reasons"]] == [
        (one.code, one.text, one.advice) for one in found.reasons
    ]
    assert root.run(["explain", str(number), "-o", "quiet"]) == 0
    assert capsys.readouterr().out.split() == codes


def test_a_job_that_is_gone_is_not_explained_by_another_one(board: Services) -> None:
    number = record().id
    job = simcelery.get_job(number)
    sql("UPDATE jobs SET task_id = gen_random_uuid() WHERE id = :id", id=number)
    with pytest.raises(JobNotFoundError, match=f"job {number} is no longer on the board"):
        job.explain()
    sql("DELETE FROM jobs WHERE id = :id", id=number)
    with pytest.raises(JobNotFoundError, match=f"there is no job {number}"):
        job.explain()
