"""Estimates from the board's own successes, wherever people are told how long something takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simcelery.board import engine, reads
from simcelery.board.reads import estimates
from simcelery.board.reads.estimates import Usual
from simcelery.cli.root import run
from tests.board_helpers import must_claim, record, sql, worker

pytestmark = pytest.mark.usefixtures("board")

SUCCESSES = (
    "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, max_losses,"
    " submitted_by, started_at, finished_at, attempt)"
    " SELECT gen_random_uuid(), :workflow, '{}', :state, 'default', 4, 1, 5, 'test',"
    " now() - make_interval(secs => :ago + took), now() - make_interval(secs => :ago), 1"
    " FROM generate_series(1, :number), (VALUES (CAST(:took AS double precision))) AS t (took)"
)


def ended(
    took: float, number: int = 1, ago: float = 100.0, state: str = "succeeded", workflow: str = "w"
) -> None:
    sql(SUCCESSES, took=took, number=number, ago=ago, state=state, workflow=workflow)


def usual(*workflows: str) -> dict[str, Usual]:
    with engine.begin() as connection:
        return estimates.usual(connection, workflows)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0
    return capsys.readouterr().out


def facts(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(told(capsys, *words, "-o", "json"))


def test_only_the_last_200_successes_of_the_workflow_count() -> None:
    ended(1000.0, 300, ago=5000.0)
    ended(10.0, 150)
    ended(20.0, 50, ago=50.0)
    ended(5000.0, 300, state="failed", ago=1.0)
    ended(7.0, 2, workflow="other", ago=1.0)
    assert usual("w", "other", "none") == {"w": Usual(200, 10.0, 20.0), "other": Usual(2, 7.0, 7.0)}


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    ended(-30.0)
    assert usual("w") == {"w": Usual(1, 0.0, 0.0)}


def test_everyone_who_is_told_how_long_it_takes_hears_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    me = worker(concurrency=4, workflows=["w"])
    ended(190.0, 180)
    ended(300.0, 20)
    jobs = [record(tags=["oxides"]) for _ in range(16)]
    record(queue="gpu")  # nobody can run it
    basis = {"successes": 200, "basis": "the last 200 successes"}
    left = {"seconds": 760.0, "p90_seconds": 804.0, "slots": 4, **basis}
    assert facts(capsys, "status", "-t", "oxides")["estimate"] == pytest.approx(left)
    assert "takes about 12m40s on 4 slots, by the last 200 successes" in told(
        capsys, "status", "-t", "oxides"
    )
    assert facts(capsys, "status")["estimate"] is None
    assert "about" not in told(capsys, "status")
    assert "(about 12m40s on 4 slots, by the last 200 successes)" in told(capsys, "explain", "-t", "oxides")
    must_claim(jobs[0].task_id, me)
    shown = told(capsys, "show", str(jobs[0].id))
    assert "usually" in shown
    assert "about 3m10s, 90 % within 3m21s (by the last 200 successes)" in " ".join(shown.split())
    found = facts(capsys, "show", str(jobs[0].id))["estimate"]
    assert found == pytest.approx({"seconds": 190.0, "p90_seconds": 201.0, **basis})


def test_there_is_no_estimate_without_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    worker(concurrency=4, workflows=["w"])
    ended(190.0, 10, state="failed")
    number = record().id
    assert facts(capsys, "status")["estimate"] is None
    assert facts(capsys, "show", str(number))["estimate"] is None
    assert "usually" not in told(capsys, "show", str(number))
    assert "about" not in told(capsys, "status")


def test_what_has_ended_needs_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    worker(concurrency=4, workflows=["w"])
    ended(190.0)
    assert facts(capsys, "status")["estimate"] is None
    assert facts(capsys, "show", "last")["estimate"] is None
    with engine.begin() as connection:
        assert estimates.unfinished(connection, reads.Filter(states=["succeeded"])) == []


def test_submit_says_how_long_it_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    worker(concurrency=2, workflows=["command"])
    words = ("submit", "--grid", "n=1,2,3,4,5,6", "--dedupe", "--", "echo", "{n}")
    ended(50.0, 3, workflow="command")
    told(capsys, "submit", "--", "true")
    assert "; about 2m30s on 2 slots, by the last 3 successes" in told(capsys, *words)
    assert "about" not in told(capsys, *words)  # nothing is new
    [one] = json.loads(told(capsys, "submit", "--grid", "n=9", "-o", "json", "--", "echo", "{n}"))
    assert one["estimate"]["seconds"] == pytest.approx(50.0)


def test_jobs_that_are_due_later_end_later() -> None:
    record(delay=3600.0)
    with engine.begin() as connection:
        [group] = estimates.unfinished(connection, reads.Filter())
    assert group.due == pytest.approx(3600.0, abs=60)
