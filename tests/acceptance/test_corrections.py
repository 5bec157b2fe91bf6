"""Check, correct, run again: within one attempt, with every correction on the board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simcelery
from simcelery import Job
from simcelery.errors import JobFailedError
from simcelery.services import Services
from simcelery.worker.programs.handlers import check_handlers
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts
from tests.conftest import Project, empty, make_project
from tests.waiting import within


@pytest.fixture(scope="module")
def project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One worker for all of these tests."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("corrections"))
    made.worker("-c", "1")
    yield made
    made.end()


def submitted(project: Project, *words: str) -> Job:
    done = project.run("simcelery", "submit", *words, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return simcelery.get_job(int(done.stdout))


def runs(folder: str) -> list[str]:
    """The algorithms with which the program ran."""
    return [json.loads(line)["algorithm"] for line in Path(folder, "runs").read_text().splitlines()]


def failure(job: Job) -> str:
    with pytest.raises(JobFailedError) as failed:
        job.result(timeout=within(60))
    return str(failed.value)


def ledger(job: Job) -> list[tuple[Any, ...]]:
    return [
        (one["number"], one["attempt"], one["handler"], one["error"], one["changes"])
        for one in job.corrections()
    ]


def test_a_program_is_corrected_and_runs_again_within_one_attempt(project: Project) -> None:
    job = submitted(project, "sims.solved")
    result = job.result(timeout=within(60))
    assert (result["energy"], result["corrections"], job.row().attempt) == (-500.0, 2, 1)
    assert runs(result["workdir"]) == ["fast", "damped", "robust"]
    assert ledger(job) == [
        (1, 1, "Robust", "not converged", "numerics"),
        (2, 1, "Robust", "not converged", "numerics"),
    ]
    first = job.corrections()[0]["difference"]
    assert "--- in.solver\n+++ in.solver\n" in first
    assert "-algorithm fast\n+algorithm damped" in first
    log = job.log()
    assert "ERROR: not converged with fast" in log  # of each run
    assert "simcelery: Robust found: not converged; corrected, and runs again:" in log
    assert (Path(result["workdir"]) / "output.1.txt").read_text() == "ERROR: not converged with fast\n"
    shown = project.run("simcelery", "show", str(job.id)).stdout
    assert "\ncorrections\n" in shown
    assert "+algorithm damped" in shown
    details = json.loads(project.run("simcelery", "show", str(job.id), "-o", "json").stdout)
    assert [one["handler"] for one in details["corrections"]] == ["Robust", "Robust"]


def test_what_was_not_corrected_can_be_told_apart(project: Project) -> None:
    clean = submitted(project, "sims.solved", "algorithm=robust", "-t", "apart")
    corrected = submitted(project, "sims.solved", "-t", "apart")
    for job in (clean, corrected):
        job.wait(within(60))
    for condition, expected in (("corrections = 0", clean), ("corrections > 0", corrected)):
        found = project.run("simcelery", "list", "-t", "apart", "--where", condition, "-o", "quiet")
        assert found.stdout.split() == [str(expected.id)], found.stderr


def test_the_physics_is_not_changed_unless_the_job_allows_it(project: Project) -> None:
    job = submitted(project, "sims.solved", "algorithm=robust", "cutoff=900")
    said = failure(job)
    why = "its correction would change the physics, which this job does not allow"
    assert f"Cutoff found: too expensive; {why}" in said
    assert ledger(job) == []
    allowed = submitted(project, "sims.solved", "algorithm=robust", "cutoff=900", "--allow", "physics")
    assert allowed.result(timeout=within(60))["energy"] == -400.0
    assert ledger(allowed) == [(1, 1, "Cutoff", "too expensive", "physics")]
    assert allowed.parameters["allow"] == ["numerics", "physics"]  # it is marked


def test_a_handler_looks_while_the_program_runs_and_ends_it(project: Project) -> None:
    job = submitted(project, "sims.watched", "algorithm=hangs")
    result = job.result(timeout=within(40))  # the program itself would take a minute
    assert runs(result["workdir"]) == ["hangs", "robust"]
    assert ledger(job) == [(1, 1, "Watches", "diverging", "numerics")]


def test_the_budget_holds_for_all_attempts(project: Project) -> None:
    job = submitted(project, "sims.hopeless")
    said = failure(job)
    assert "Robust found: not converged; but all 3 corrections of this job are spent" in said
    assert "exit code 1: ERROR: not converged with" in said
    assert [(number, attempt) for number, attempt, *_ in ledger(job)] == [(1, 1), (2, 1), (3, 1)]
    assert len(attempts(job.id)) == 2  # the second one had nothing left
    assert "'retry --from-scratch' begins anew" in said
    found = project.run("simcelery", "list", "--where", "corrections = 3", "-o", "quiet")
    assert found.stdout.split() == [str(job.id)], found.stderr
    assert project.run("simcelery", "retry", str(job.id)).returncode == 0
    failure(job)
    assert len(ledger(job)) == 3
    retried = project.run("simcelery", "retry", str(job.id), "--allow", "physics")
    assert retried.returncode == 0, retried.stderr
    failure(job)
    assert len(ledger(job)) == 6
    assert job.parameters["allow"] == ["numerics", "physics"]
    found = project.run("simcelery", "list", "--where", "corrections = 3", "-o", "quiet")
    assert found.stdout.split() == [str(job.id)], found.stderr


def test_a_handler_of_custodians_is_used_as_it_is_and_starts_anew_for_each_job(project: Project) -> None:
    refused = submitted(project, "sims.custodian")
    assert "OfCustodian found: OfCustodian; its correction would change the physics" in failure(refused)
    for _ in range(2):
        job = submitted(project, "sims.custodian", "--allow", "physics")
        assert job.result(timeout=within(60))["energy"] == -500.0
        assert ledger(job) == [(1, 1, "OfCustodian", "not converged", "physics")]
    stuck = submitted(project, "sims.custodian", "algorithm=slow", "--allow", "physics")
    assert "and knows no correction" in failure(stuck)


def test_nothing_is_corrected_in_a_workflow_without_handlers(project: Project) -> None:
    done = project.run("simcelery", "submit", "sims.melt", "temperature=300", "--allow", "physics")
    assert done.returncode == 2
    assert "there is no parameter 'allow'" in done.stderr
    done = project.run("simcelery", "submit", "--allow", "physics", "--", "true")
    assert done.returncode == 2
    assert "--allow is for workflows whose program has handlers" in done.stderr


@pytest.mark.parametrize("handler", [object(), simcelery.Handler, "Robust"])
def test_what_is_no_handler_is_refused(handler: object) -> None:
    with pytest.raises(ValueError, match="is no handler: it needs methods check and correct"):
        check_handlers([handler])


@pytest.mark.parametrize("line", ["before_correction_saved", "after_correction"])
def test_after_a_kill_the_budget_goes_on_where_it_was(servers: Services, tmp_path: Path, line: str) -> None:
    """What it was correcting when it was killed is on the board, and the next attempt has only the rest."""
    empty(servers)
    project = make_project(servers, tmp_path)
    once = tmp_path / "once"
    once.mkdir()
    try:
        project.worker("-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once))
        job = submit(project, "solved.submit()")
        result = job.result(timeout=within(60))
        assert (once / line).exists(), "the failpoint did not fire"
        assert result["corrections"] == 2
        assert runs(result["workdir"]) == ["fast", "damped", "robust"]
        assert [attempt for _, attempt, *_ in ledger(job)] == [1, 2, 2]
        unfinished = "(the attempt ended while this correction was made)"
        assert (job.corrections()[0]["difference"] == unfinished) == (line == "before_correction_saved")
    finally:
        project.end()
