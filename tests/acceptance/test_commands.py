"""Commands: what they inherit, what is kept of their output, and what a failure says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import simcelery
from simcelery import Job
from simcelery.errors import JobFailedError
from simcelery.services import Services
from simcelery.worker import builtin  # noqa: F401 (its results are typed where it is known)
from simcelery.worker.programs import SECRETS
from tests.acceptance.helpers import submit, submit_command
from tests.board_helpers import attempts, row
from tests.conftest import Project, empty, make_project
from tests.waiting import within


@pytest.fixture(scope="module")
def project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One worker for all of these tests, in an environment full of passwords, and in a poor locale."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("commands"))
    brokers = {name: made.environment["SIMCELERY_BROKER_URL"] for name in SECRETS if "BROKER" in name}
    # A setting's variable may be written in any case.
    secrets = {"PGPASSWORD": "secret", "simcelery_mail_via": "smtp://me:secret@127.0.0.1:1"}
    secrets |= dict.fromkeys(("SIMCELERY_RELAY_TOKEN", "SIMCELERY_METRICS_TOKEN"), "secret")
    made.worker("-c", "1", **brokers, **secrets, MINE="kept", PYTHONIOENCODING="latin-1", LC_ALL="C")
    yield made
    made.end()


def submit_json(project: Project, **parameters: object) -> Job:
    """The workflow ``command`` with more than its arguments."""
    texts = [f"{name}={json.dumps(value)}" for name, value in parameters.items()]
    done = project.run("simcelery", "submit", "command", *texts, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return simcelery.get_job(int(done.stdout))


def names(job: Job) -> set[str]:
    return {line.partition("=")[0] for line in job.result(timeout=within(60)).output.splitlines()}


def test_a_command_inherits_all_but_the_passwords(project: Project) -> None:
    inherited = names(submit_command(project, "env"))
    assert {name.upper() for name in inherited}.isdisjoint({*SECRETS, "SIMCELERY_MAIL_VIA"})
    assert {"MINE", "PATH", "SIMCELERY_JOB_ID", "SIMCELERY_HOME"} <= inherited


def test_a_command_may_keep_them_or_be_given_its_own(project: Project) -> None:
    kept = {name.upper() for name in names(submit_json(project, argv=["env"], keep_urls=True))}
    assert set(SECRETS) - {"CELERY_RESULT_BACKEND"} <= kept
    given = submit_json(project, argv=["env"], env={"PGPASSWORD": "mine"})
    assert "PGPASSWORD=mine" in given.result(timeout=within(60)).output


def test_a_command_that_keeps_them_submits_jobs(project: Project) -> None:
    line = ["sh", "-c", "simcelery submit sims.add a=1 -o quiet"]
    inner = int(submit_json(project, argv=line, keep_urls=True).result(timeout=within(60)).output)
    assert simcelery.get_job(inner).result(timeout=within(60)) == 2


@pytest.mark.parametrize(
    "script",
    [
        "yes 0123456789 | tr -d '\\n' | head -c 3000000",  # one line
        'yes "$(printf %9999d 1)" | head -n 400',
        "head -c 3000000 /dev/zero",
        "head -c 3000000 /dev/urandom",
        "yes '\\001\\002' | head -c 3000000; exit 0",
    ],
)
def test_a_command_that_prints_megabytes_succeeds(project: Project, script: str) -> None:
    job = submit_command(project, "sh", "-c", script)
    result = job.result(timeout=within(60))
    assert 0 < len(result.output.encode()) < 400_000
    assert (Path(result.workdir) / "output.txt").stat().st_size >= 3_000_000


def test_a_failed_command_says_how_its_output_ends_and_where_all_of_it_is(project: Project) -> None:
    script = "seq 1 300; echo 'the cause: no such basis set'; echo; echo aborting; exit 3"
    job = submit_command(project, "sh", "-c", script)
    with pytest.raises(JobFailedError) as raised:
        job.result(timeout=within(60))
    [attempt] = attempts(job.id)
    output = Path(attempt["workdir"]) / "output.txt"
    assert output.read_text().endswith("aborting\n")
    shown = project.run("simcelery", "show", str(job.id)).stdout
    for place in (str(raised.value), row(job.id).error or "", shown):
        assert "exit code 3: aborting" in place
        assert "the cause: no such basis set" in place
        assert str(output.parent) in place
    assert "the cause: no such basis set" in job.log()
    grouped = project.run("simcelery", "errors", "-o", "json").stdout
    assert "exit code" in json.loads(grouped)[0]["message"]


def test_a_command_that_is_ended_leaves_the_end_of_its_output_in_the_log(project: Project) -> None:
    done = project.run(
        "simcelery", "submit", "--time-limit", "2", "-o", "quiet", "--", "sh", "-c", "echo begun; sleep 60"
    )
    job = simcelery.get_job(int(done.stdout))
    job.wait(timeout=within(60))
    assert row(job.id).state == "failed"
    assert job.log().startswith("begun\n")


def test_a_program_beside_the_submitter_is_found(project: Project) -> None:
    script = project.folder / "solve"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    result = submit_command(project, "./solve").result(timeout=within(60))
    assert result.output.strip() == result.workdir != str(project.folder)
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("how", ["print", "stderr", "logging", "child"])
def test_whatever_the_workers_locale_to_print_never_fails(project: Project, how: str) -> None:
    job = submit(project, f"prints_letters.submit({how!r})")
    assert job.result(timeout=within(60)) == how
    assert "Å 中 🙂" in job.log()
    assert "\\udcff" in job.log()
