"""Schedules on real workers, and on the command line."""

from __future__ import annotations

import json

import pytest

import simcelery
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until


def test_what_was_due_during_an_outage_runs_by_its_policy_once(project: Project) -> None:
    for missed in ("once", "all", "skip"):
        command = ("schedules", "add", missed, "*/2 * * * *", "--missed", missed, "sims.add", "a=1")
        added = project.run("simcelery", *command, "--timezone", "Europe/Berlin", "-t", "mine", "-o", "json")
        assert added.returncode == 0, added.stderr
        assert json.loads(added.stdout)[0]["next_at"] is not None
    ran = project.run(
        "simcelery", "schedules", "add", "by-hand", "@yearly", "--", "sh", "-c", "echo $((40+2))"
    )
    assert ran.returncode == 0, ran.stderr
    sql(
        "UPDATE schedules SET next_at = to_timestamp(floor(extract(epoch FROM now()) / 120) * 120 - 1080) "
        "WHERE name <> 'by-hand' RETURNING name"
    )
    assert project.run("simcelery", "schedules", "run", "by-hand", "-o", "quiet").stdout.strip().isdecimal()
    project.worker()
    project.worker()

    def ended(name: str) -> int:
        return int(simcelery.jobs(tags=[f"schedule:{name}"], state="succeeded").count())

    # A time of the day may come while this runs.
    wait_until(lambda: 10 <= ended("all") <= 11 and 1 <= ended("once") <= 2 and ended("by-hand") == 1, 60)
    assert sql("SELECT count(*) FROM schedules WHERE next_at <= now() - interval '5 s'") == [(0,)]
    assert ended("skip") <= 2
    dues = sql("SELECT idempotency_key FROM jobs WHERE idempotency_key IS NOT NULL")
    assert len(dues) == len(set(dues)) == sql("SELECT count(*) FROM jobs")[0][0] - 1
    [found] = json.loads(project.run("simcelery", "schedules", "pause", "once", "-o", "json").stdout)
    assert found["last_job"]["state"] == "succeeded"
    assert found["tags"] == ["mine"]
    shown = project.run("simcelery", "schedules").stdout
    assert "paused" in shown
    assert " succeeded" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("61 * * * *", "sims.add", "a=1"), "'61 * * * *' is no cron expression (bad minute)"),
        (("@daily", "sims.ad", "a=1"), "no workflow is called 'sims.ad'"),
        (("@daily", "sims.add", "a=x"), "parameter 'a'"),
        (("@daily", "sims.add"), "parameter 'a'"),
        (("@daily",), "which workflow?"),
        (("@daily", "--timezone", "Mars", "sims.add", "a=1"), "there is no time zone 'Mars'"),
        (("@daily", "--"), "write NAME, CRON and -- and then the whole command"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_in_one_line(
    shared_project: Project, words: tuple[str, ...], expected: str
) -> None:
    done = shared_project.run("simcelery", "schedules", "add", "x", *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sql("SELECT * FROM schedules") == []


def test_a_schedule_says_of_its_jobs_what_submit_says(shared_project: Project) -> None:
    asks = (
        "--cores",
        "2",
        "--memory",
        "1G",
        "--gpus",
        "1",
        "--keep",
        "failed",
        "--on-oom",
        "memory=x2,max=4G",
    )
    limits = ("--time-limit", "1h", "--on-time-limit", "time_limit=x2,max=4h", "--max-attempts", "2")
    added = shared_project.run(
        "simcelery", "schedules", "add", "asks", "@yearly", *asks, *limits, "sims.add", "a=1"
    )
    assert added.returncode == 0, added.stderr
    ran = shared_project.run("simcelery", "schedules", "run", "asks", "-o", "quiet")
    alone = shared_project.run("simcelery", "submit", *asks, *limits, "sims.add", "a=1", "-o", "quiet")
    read = (
        "SELECT cores, memory, gpus, escalation, keep, time_limit, max_attempts "
        "FROM jobs JOIN needs ON needs.id = needs_id WHERE jobs.id = :id"
    )
    of_schedule, submitted = (sql(read, id=int(one.stdout)) for one in (ran, alone))
    assert of_schedule == submitted
    [(cores, memory, gpus, *_, time_limit, attempts)] = submitted
    assert (cores, memory, gpus, time_limit, attempts) == (2, 2**30, 1, 3600, 2)
    refused = shared_project.run(
        "simcelery", "schedules", "add", "bad", "@yearly", "--on-oom", "memory", "sims.add", "a=1"
    )
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    shared_project.run("simcelery", "schedules", "remove", "asks")


def test_schedules_of_the_settings_file_are_one_row_each_until_somebody_changes_them(
    project: Project,
) -> None:
    """Also on a worker that does not import the workflows itself."""
    file = project.folder / "simcelery.toml"
    declared = '[schedules.nightly]\ncron = "@daily"\nworkflow = "sims.add"\nparameters = {{ a = {} }}\n'
    top = 'workflows = ["sims"]\n'
    file.write_text(top + declared.format(1) + '[schedules.sync]\ncron = "@hourly"\ncommand = ["true"]\n')
    project.worker(SIMCELERY_PRELOAD="false")
    project.worker()
    shown = json.loads(project.run("simcelery", "schedules", "-o", "json").stdout)
    assert [(one["name"], one["parameters"].get("a"), one["from_settings"]) for one in shown] == [
        ("nightly", 1, True),
        ("sync", None, True),
    ]
    file.write_text(top + declared.format(2))
    project.worker()
    assert "schedules of the settings that the board has otherwise: nightly" in project.logs()
    shown = project.run("simcelery", "schedules")
    assert "sync: added by a settings file, but not in the one here" in shown.stderr
    assert "simcelery schedules remove sync" in shown.stderr
    [applied] = json.loads(project.run("simcelery", "schedules", "apply", "-o", "json").stdout)
    assert applied["parameters"]["a"] == 2
    file.write_text(top + declared.format('"x"'))
    refused = project.run("simcelery", "schedules", "apply")
    assert refused.returncode == 2
    assert "setting 'schedules': 'nightly': " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
