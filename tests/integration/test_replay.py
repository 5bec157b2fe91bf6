"""`retry --set`: failed jobs run again with other parameters, and say what they ran with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simcelery
from simcelery.board import catalogue, engine
from simcelery.board.catalogue import Entry
from simcelery.cli import root
from tests.board_helpers import ERROR, finish, must_claim, new_job, record, row, settle, sql, state, worker
from tests.conftest import Project


@simcelery.workflow(name="relaxed")
def relaxed(structure: Path, fmax: float = 0.05, kpts: list[int] | None = None) -> float:
    return fmax


pytestmark = pytest.mark.usefixtures("board")


def failed(**parameters: object) -> int:
    job = relaxed.submit(**{"structure": Path("NaCl.cif"), **parameters})
    finish(must_claim(job.task_id, worker(), workflow="relaxed"), ERROR)
    return job.id


def run(*words: str) -> int:
    return root.run(list(words))


def test_replay_with_a_real_worker(project: Project) -> None:
    done = project.run("simcelery", "submit", "sims.only_even", "--grid", "number=1,3,4", "-o", "quiet")
    ids = done.stdout.split()
    project.worker()
    assert project.run("simcelery", "wait", *ids).returncode == 1
    dry = project.run("simcelery", "retry", "--error", "1", "--set", "number=6", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert [line.split() for line in dry.stdout.splitlines()[1:3]] == [
        [ids[0], "sims.only_even", "number", "1", "→", "6"],
        [ids[1], "sims.only_even", "number", "3", "→", "6"],
    ]
    assert dry.stdout.splitlines()[3] == "would retry 2 jobs; nothing was changed"
    retried = project.run("simcelery", "retry", "--error", "1", "--set", "number=6", "-y")
    assert retried.stdout == f"retried 2 jobs ({ids[0]}-{ids[1]})\n"
    assert project.run("simcelery", "wait", *ids).returncode == 0
    assert project.run("simcelery", "result", ids[0]).stdout == "6\n"
    shown = project.run("simcelery", "show", ids[0]).stdout
    assert "  after attempt 1: number 1 → 6; by " in shown
    assert "  attempt 1, ran with: number 1 (now 6)" in shown
    assert "attempt 2, ran with" not in shown
    told = json.loads(project.run("simcelery", "show", ids[0], "-o", "json").stdout)
    assert [one["parameters"] for one in told["attempts"]] == [{"number": 1}, {"number": 6}]
    [revision] = told["revisions"]
    assert (revision["last_attempt"], revision["changes"]) == (1, {"number": {"from": 1, "to": 6}})


def test_values_are_read_as_submit_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number, monk = failed(), tmp_path / "MgO.cif"
    monk.touch()
    monkeypatch.chdir(tmp_path)
    words = ["--set", "structure=MgO.cif", "--set", "kpts=[4,4,4]", "--set", "fmax=1"]
    assert run("retry", str(number), *words, "--dry-run", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["would_retry"] == [number]
    assert told["jobs"] == [
        {
            "id": number,
            "workflow": "relaxed",
            "changes": {
                "structure": {"from": "NaCl.cif", "to": str(monk)},
                "fmax": {"from": 0.05, "to": 1.0},
                "kpts": {"from": None, "to": [4, 4, 4]},
            },
        }
    ]
    assert state(number) == "failed"
    assert run("retry", str(number), *words, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"retried": [number], "revised": [number]}
    assert row(number).parameters == {"structure": str(monk), "fmax": 1.0, "kpts": [4, 4, 4]}
    assert type(row(number).parameters["fmax"]) is float


def test_a_path_that_is_not_named_stays_relative_to_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = failed()
    (tmp_path / "NaCl.cif").touch()
    monkeypatch.chdir(tmp_path)
    assert run("retry", str(number), "--set", "fmax=0.02") == 0
    assert row(number).parameters["structure"] == "NaCl.cif"


def test_results_of_other_jobs_are_values(capsys: pytest.CaptureFixture[str]) -> None:
    number, source = failed(), record(workflow="relaxed")
    assert run("retry", str(number), "--set", f"structure=@{source.id}") == 0
    assert row(number).parameters["structure"] == {"$job": source.id}
    assert (state(number), row(number).unmet) == ("blocked", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "fmx=1"], "job {0}: relaxed: there is no parameter 'fmx'; did you mean 'fmax'?"),
        (["--set", "fmax=tight"], "job {0}: relaxed: parameter 'fmax'"),
        (["--set", "fmax"], "'fmax' is not of the form NAME=VALUE"),
        (["--set", "fmax=1", "--set", "fmax=2"], "parameter 'fmax' is given twice"),
        (["--set", "structure=@999"], "there is no job 999"),
        (["--set", "structure=@{0}"], "job {0} would wait for its own result"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_does_not_fit_is_one_line_and_changes_nothing(
    words: list[str], said: str, dry: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [failed(), failed()]
    words = [word.format(*numbers) for word in words]
    assert run("retry", *map(str, numbers), "-y", *words, *dry) == 2
    told = capsys.readouterr()
    assert said.format(*numbers) in told.err
    assert told.err.count("\n") == 1
    assert [state(number) for number in numbers] == ["failed", "failed"]
    assert sql("SELECT count(*) FROM revisions") == [(0,)]


def test_a_client_without_the_code_checks_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    schema = {
        "type": "object",
        "properties": {"fmax": {"type": "number"}, "label": {"type": "string", "default": "x"}},
        "required": ["fmax"],
    }
    entry = Entry("far.away", "", schema, {"priority": 4, "max_attempts": 1, "max_losses": 5}, "default", "1")
    with engine.begin() as connection:
        catalogue.write(connection, [entry])
    job = record(workflow="far.away", parameters={"fmax": 0.05, "label": "x"})
    finish(must_claim(job.task_id, worker(), workflow="far.away"), ERROR)
    assert run("retry", str(job.id), "--set", "width=1") == 2
    assert "far.away: there is no parameter 'width'; it takes: fmax, label" in capsys.readouterr().err
    assert run("retry", str(job.id), "--set", "fmax=1", "--set", "label=7") == 0
    assert row(job.id).parameters == {"fmax": 1.0, "label": "7"}
    assert type(row(job.id).parameters["fmax"]) is float


def test_a_command_takes_its_own_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    job = record(workflow="command", parameters={"argv": ["lmp", "-var", "T", "300"], "env": None})
    finish(must_claim(job.task_id, worker(), workflow="command"), ERROR)
    assert run("retry", str(job.id), "--set", "T=310") == 2
    told = capsys.readouterr().err
    assert "command: there is no parameter 'T'; it takes: argv, env" in told
    assert "(argv holds what a template's {NAME} stood for)" in told
    assert run("retry", str(job.id), "--set", 'argv=["lmp","-var","T","310"]') == 0
    assert row(job.id).parameters["argv"] == ["lmp", "-var", "T", "310"]


def test_a_dry_run_of_many_shows_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    with engine.begin() as connection:
        from simcelery.board import transitions

        new = [new_job(workflow="relaxed", parameters={"structure": "x", "fmax": n}) for n in range(50)]
        transitions.record(connection, new)
    sql("UPDATE jobs SET state = 'failed', finished_at = now()")
    assert run("retry", "-s", "failed", "--set", "fmax=0.02", "--dry-run") == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 43
    assert shown[-2:] == ["… and 10 more", "would retry 50 jobs; nothing was changed"]


def test_a_dry_run_of_a_job_that_cannot_be_retried_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    done, parent = record(), record()
    child = record(parents=frozenset({parent.id}))
    me = worker()
    finish(must_claim(done.task_id, me))
    finish(must_claim(parent.task_id, me), ERROR)
    settle()
    for job, why in ((done, "is succeeded: only failed"), (child, str(parent.id))):
        for words in ((), ("--dry-run",)):
            assert run("retry", str(job.id), *words) == 2
            assert why in capsys.readouterr().err
    assert run("retry", str(child.id), "--with-parents", "--dry-run") == 0
    assert (state(child.id), state(parent.id)) == ("upstream_failed", "failed")
