"""`submit --dedupe --dry-run` says what is there already, and how new jobs differ from existing ones."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import simcelery
from simcelery.board.reads.same import Known
from simcelery.cli import root
from simcelery.submission import near
from tests.board_helpers import ERROR, finish, must_claim, sql, worker
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("board")


@simcelery.workflow(name="scan")
def scan(x: float, fmax: float = 0.05, kpts: list[int] | None = None, label: str = "") -> float:
    return x


@simcelery.workflow(name="scan2", version="2")
def scan2(x: float) -> float:
    return x


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Any:
    def planned(*words: str) -> Any:
        assert root.run(["submit", *words, "--dedupe", "--dry-run", "-o", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return planned


def test_the_closest_job_and_the_difference_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    first = scan.submit(x=1, fmax=0.05)
    assert root.run(["submit", "scan", "x=1", "fmax=0.01", "--dedupe", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"new; like job {first.id}, but fmax 0.05 → 0.01" in shown
    assert shown.endswith("1 job would be submitted: 1 new; nothing was written\n")
    assert sql("SELECT count(*) FROM jobs") == [(1,)]


def test_fewer_differences_come_first_and_more_than_two_are_not_close(plan: Any) -> None:
    one = scan.submit(x=1, label="a")
    two = scan.submit(x=1, label="a", fmax=0.04)
    told = plan("scan", "x=1", "label=b")["like"]
    assert told == {"id": one.id, "changes": {"label": {"from": "a", "to": "b"}}}
    told = plan("scan", "x=2", "label=a", "fmax=0.01")["like"]
    assert (told["id"], sorted(told["changes"])) == (two.id, ["fmax", "x"])
    assert plan("scan", "x=2", "label=b", "fmax=0.01")["like"] is None
    again = scan.submit(x=1, label="a")
    assert plan("scan", "x=1", "label=b")["like"]["id"] == again.id  # of several the newest


def test_whole_values_and_absent_ones_differ_as_they_do_for_dedupe(plan: Any) -> None:
    job = scan.submit(x=1, kpts=[2, 2, 2])
    assert plan("scan", "x=1")["like"] == {
        "id": job.id,
        "changes": {"kpts": {"from": [2, 2, 2], "to": None}},
    }
    sql("UPDATE jobs SET parameters = (parameters || '{\"gone\": 1}') - CAST('label' AS text)")
    changes = plan("scan", "x=1", "kpts=[2,2,2]")["like"]["changes"]
    assert changes == {"gone": {"from": 1, "to": None}, "label": {"from": None, "to": ""}}
    sql('UPDATE jobs SET parameters = \'{"x": 1, "fmax": 0.05, "kpts": null, "label": ""}\'')
    assert plan("scan", "x=1")["like"]["changes"] == {"x": {"from": 1, "to": 1.0}}


def test_another_version_of_the_workflow_is_a_difference(plan: Any) -> None:
    job = scan2.submit(x=1)
    sql("UPDATE jobs SET version = '1'")
    told = plan("scan2", "x=1")
    assert (told["how"], told["like"]["id"]) == ("new", job.id)
    assert told["like"]["changes"] == {"version of the workflow": {"from": "1", "to": "2"}}


def test_what_is_there_is_named_with_its_state(plan: Any, capsys: pytest.CaptureFixture[str]) -> None:
    waits, fails = scan.submit(x=1), scan.submit(x=2)
    finish(must_claim(fails.task_id, worker(), workflow="scan"), ERROR)
    words = ("scan", "--grid", "x=1,2,3,3")
    found = [(one["how"], one["id"], one["state"]) for one in plan(*words)]
    assert found == [
        ("existing", waits.id, "pending"),
        ("retried", fails.id, "failed"),
        ("new", None, None),
        ("existing", None, None),
    ]
    assert [one["how"] for one in plan(*words, "--on-failed", "keep")][1] == "existing"
    assert root.run(["submit", *words, "--dedupe", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"job {fails.id} (failed), to be retried" in shown
    assert "1 of the new ones differs from an existing job only in x" in shown
    assert "4 jobs would be submitted: 1 new, 2 existing, 1 retried; nothing was written" in shown
    assert root.run(["submit", *words, "--dedupe", "--dry-run", "--on-failed", "error"]) == 2
    assert f"job {fails.id} has the same parameters and is failed" in capsys.readouterr().err
    summary = scan.submit_many([{"x": x} for x in (1, 2, 3, 3)], dedupe=True).summary()
    assert summary == {"new": 1, "existing": 2, "retried": 1}


def test_a_key_is_looked_up_too(capsys: pytest.CaptureFixture[str]) -> None:
    job = scan.submit(x=1, key="mine")
    assert root.run(["submit", "scan", "x=2", "--key", "mine", "--dry-run", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["how"], told["id"], "like" in told) == ("existing", job.id, False)


def test_a_key_of_another_workflow_is_refused_as_it_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    job = scan.submit(x=1, key="mine")
    for dry in ([], ["--dry-run"]):
        assert root.run(["submit", "scan2", "x=2", "--key", "mine", *dry]) == 2
        assert f"job {job.id} of scan already has this key: choose another" in capsys.readouterr().err


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    scan.submit_many([{"x": x} for x in range(50)])
    choices = 6 + 15  # one or two of four parameters, the rest and the version
    monkeypatch.setattr(near, "MOST_LOOKUPS", 2 * choices)
    monkeypatch.setattr(near, "MOST_ENTRIES", 10 * choices)
    told = plan("scan", "--grid", "x=0:100:1", "fmax=0.01", "label=z")
    assert [one["like"]["id"] for one in told[:2] if one["like"]] == []  # among the newest ten it is none
    assert ["like" in one for one in told] == [True] * 2 + [False] * 99
    told = plan("scan", "--grid", "x=49:48:-1", "fmax=0.01")
    assert [one["like"]["changes"] for one in told] == [{"fmax": {"from": 0.05, "to": 0.01}}] * 2


def test_workflows_with_many_parameters_are_compared_in_one_of_them() -> None:
    names = [f"p{n}" for n in range(60)]
    board = [Known(7, "1", dict.fromkeys(names, 0))]
    asked: list[int] = []

    def read(most: int) -> list[Known]:
        asked.append(most)
        return board

    closest = near.Near(names, read)
    assert asked == [near.MOST_ENTRIES // 62]
    assert closest.to("1", dict.fromkeys(names, 0) | {"p3": 1}) == board[0]
    assert closest.to("1", dict.fromkeys(names, 0) | {"p3": 1, "p4": 1}) is None
    began = time.perf_counter()
    for n in range(1000):
        closest.to("1", dict.fromkeys(names, n))
    assert time.perf_counter() - began < within(5)
