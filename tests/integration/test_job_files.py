"""Job files on the command line: recorded as a whole, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

import simcelery
from tests.conftest import Project

MANY = """
tags: [oxides]
job:
- name: relax-1
  workflow: sims.add
  parameters: {a: 1, b: 2}
- name: relax-2
  workflow: sims.add
  each: [{a: 2}, {a: 3}]
- workflow: sims.add
  parameters: {a: 5}
  after: [relax-1, relax-2]
"""


def submit(project: Project, *words: str) -> Any:
    done = project.run("simcelery", "submit", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(project: Project, name: str, text: str) -> str:
    (project.folder / name).write_text(text)
    return name


def test_a_file_of_many_jobs_is_recorded_with_their_dependencies(project: Project) -> None:
    found = submit(project, write(project, "many.yaml", MANY.replace("\njob:", "\ndedupe: true\njob:")))
    assert [job["state"] for job in found] == ["pending"] * 3 + ["blocked"]
    assert {tuple(job["tags"]) for job in found} == {("oxides",)}
    assert [simcelery.get_job(job["id"]).row().unmet for job in found] == [0, 0, 0, 3]
    again = submit(project, "many.yaml")
    assert [job["id"] for job in again] == [job["id"] for job in found]
    assert {job["how"] for job in again} == {"existing"}
    assert "4 jobs" in project.run("simcelery", "submit", "many.yaml", "--dry-run").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MANY.replace("a: 5", "a: five"), "many.yaml, job 3: sims.add: parameter 'a'"),
        (MANY.replace("{a: 3}", "{c: 3}"), "many.yaml, job 'relax-2': each, row 2: sims.add"),
        (MANY.replace("relax-1, relax-2", "relax-1, 999999"), "many.yaml, job 3: there is no job 999999"),
        (MANY.replace("- workflow: sims.add", "- workflow: sims.ad"), "did you mean 'sims.add'?"),
        (MANY + "  canary: 2\n", "many.yaml, job 3: notify, canary and max-fails are for a file without"),
        (MANY + "  each: nosuch.csv\n", "many.yaml, job 3: --each nosuch.csv: No such file"),
    ],
    ids=["value", "row", "parent", "workflow", "canary", "table"],
)
def test_a_file_with_one_fault_records_nothing(project: Project, text: str, said: str) -> None:
    done = project.run("simcelery", "submit", write(project, "many.yaml", text))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(simcelery.jobs()) == 0


REFERRING = """
workflow: sims.add
dedupe: true
job:
- name: sum
  parameters: {a: "@first", b: 2}
- name: first
  parameters: {a: 1, b: 2}
- name: many
  each: [{a: 2}, {a: "@sum"}]
- workflow: sims.echo
  parameters: {value: {all: "@many", text: "@@many"}}
"""


def test_jobs_of_a_file_take_the_results_of_others_by_name(project: Project) -> None:
    write(project, "jobs.yaml", REFERRING)
    dry = submit(project, "jobs.yaml", "--dry-run")
    assert dry[1]["parameters"]["a"] == "@first"
    found = submit(project, "jobs.yaml")
    first, add, one, two, total = (job["id"] for job in found)
    given = [simcelery.get_job(job["id"]).row().parameters for job in found]
    assert given[1]["a"] == {"$job": first}
    assert given[3]["a"] == {"$job": add}
    assert given[4] == {"value": {"all": [{"$job": one}, {"$job": two}], "text": "@many"}}
    assert [job["state"] for job in found] == ["pending", "blocked", "pending", "blocked", "blocked"]
    assert simcelery.get_job(total).row().unmet == 2
    again = submit(project, "jobs.yaml")
    assert [(job["id"], job["how"]) for job in again] == [(job["id"], "existing") for job in found]


def test_an_echoed_submission_is_submitted_and_run_as_it_was(project: Project) -> None:
    said = ["sims.add", "a=1", "b=2", "-p", "7", "-t", "x", "--max-attempts", "2"]
    write(project, "job.toml", project.run("simcelery", "submit", *said, "--echo").stdout)
    assert len(simcelery.jobs()) == 0
    planned = [submit(project, *words, "--dry-run") for words in (said, ["job.toml"])]
    assert planned[0] == planned[1]
    job = submit(project, "job.toml")
    assert (job["priority"], job["tags"], job["parameters"]) == (7, ["x"], planned[0]["parameters"])
    assert json.loads(project.run("simcelery", "run", "job.toml").stdout) == 3
    write(project, "points.csv", "a\n1\n2\n")
    echoed = project.run(
        "simcelery", "submit", "sims.add", "--each", "points.csv", "--grid", "b=1:3:1", "--echo"
    )
    write(project, "sweep.toml", echoed.stdout)
    assert len(submit(project, "sweep.toml", "--dry-run")) == 6
    refused = project.run("simcelery", "run", "sweep.toml")
    assert (refused.returncode, "only one is run here: submit them" in refused.stderr) == (2, True)


def test_a_workflow_that_is_called_like_a_file_comes_first(project: Project) -> None:
    write(
        project,
        "named.py",
        "import simcelery\n@simcelery.workflow(name='job.toml')\ndef f() -> int: return 5\n",
    )
    write(project, "job.toml", "workflow = 'sims.add'\n[parameters]\na = 1\n")
    done = project.run(
        "simcelery", "submit", "job.toml", "--dry-run", "-o", "json", SIMCELERY_WORKFLOWS="sims,named"
    )
    assert json.loads(done.stdout)["workflow"] == "job.toml"
    assert "'job.toml' is a workflow; a file of this name would be ./job.toml" in done.stderr
    done = project.run(
        "simcelery", "submit", "./job.toml", "--dry-run", "-o", "json", SIMCELERY_WORKFLOWS="sims,named"
    )
    assert json.loads(done.stdout)["workflow"] == "sims.add"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["job.toml", "-p", "3"], "--priority belongs into the file 'job.toml'"),
        (["job.toml", "a=1"], "the rest belongs into the file 'job.toml'"),
        (["job.toml", "--", "echo"], "the rest belongs into the file 'job.toml'"),
        (["nosuch.toml"], "nosuch.toml: No such file or directory"),
        (["sims.add", "--each", "-", "--echo"], "--echo cannot write what comes from stdin"),
    ],
)
def test_what_does_not_belong_beside_a_file_is_refused(project: Project, words: list[str], said: str) -> None:
    write(project, "job.toml", "workflow = 'sims.add'\n[parameters]\na = 1\n")
    done = project.run("simcelery", "submit", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_variables_of_a_command_are_its_parameter_also_by_a_file(project: Project) -> None:
    said = ["--env", "OMP_NUM_THREADS=4", "--env", "EMPTY=", "--grid", "T=1,2"]
    command = ["--", "lmp", "{T}"]
    planned = project.run("simcelery", "submit", *said, "--dry-run", "-o", "json", *command)
    assert [job["parameters"]["env"] for job in json.loads(planned.stdout)] == [
        {"OMP_NUM_THREADS": "4", "EMPTY": ""}
    ] * 2
    write(project, "lmp.toml", project.run("simcelery", "submit", *said, "--echo", *command).stdout)
    assert submit(project, "lmp.toml", "--dry-run") == json.loads(planned.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--env", "X", "--", "true"), "--env: 'X' is not of the form NAME=VALUE"),
        (("--env", "X=1", "--env", "X=2", "--", "true"), "--env: 'X' is given twice"),
        (("--env", "X=1", "sims.add", "a=1"), "--env is for commands"),
    ],
)
def test_a_variable_that_cannot_be_set_is_refused(
    project: Project, words: tuple[str, ...], said: str
) -> None:
    done = project.run("simcelery", "submit", *words)
    assert done.returncode == 2
    assert said in done.stderr
