"""Clusters on a real Slurm, with real workers; skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.helpers import controllers
from tests.acceptance.test_clusters import cluster, listed
from tests.board_helpers import attempts, row, sql, state
from tests.conftest import Project
from tests.waiting import wait_until

if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True).returncode != 0:
    pytest.skip("no Slurm runs here", allow_module_level=True)

ON = ("--on", "slurm", "--cores", "1", "--memory", "512M")


@pytest.fixture
def here(project: Project) -> Iterator[Project]:
    """A project whose batch jobs end with the test."""
    yield project
    for (name,) in sql("SELECT name FROM clusters WHERE state <> 'stopped'"):
        project.run("simcelery", "cluster", "stop", name)
    names = ",".join(name for (name,) in sql("SELECT name FROM allocations"))
    subprocess.run(["scancel", f"--name={names}"], check=False)
    wait_until(lambda: queued() == [], 120)
    sql("UPDATE allocations SET state = 'ended', cause = 'gone', ended_at = now() WHERE ended_at IS NULL")
    wait_until(lambda: not controllers(project), 60)


def queued() -> list[str]:
    """The names of our batch jobs that Slurm has not ended."""
    done = subprocess.run(
        ["squeue", "-h", "-o", "%j", "-t", "PD,R,CG,CF"], capture_output=True, text=True, check=True
    )
    return [name for name in done.stdout.split() if name.startswith("simcelery-")]


def jobs(project: Project, count: int, seconds: float, *words: str) -> list[int]:
    points = project.folder / "points.jsonl"
    ran = str(project.folder / "ran")
    given = [json.dumps({"path": ran, "pause": seconds + n * 1e-6}) for n in range(count)]
    points.write_text("\n".join(given) + "\n")
    done = project.run("simcelery", "submit", "-o", "quiet", "sims.trace", "--each", str(points), *words)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def ends(name: str) -> list[str | None]:
    return [
        cause
        for (cause,) in sql("SELECT cause FROM allocations WHERE cluster = :n AND state = 'ended'", n=name)
    ]


def test_fifty_jobs_on_two_allocations(here: Project) -> None:
    numbers = jobs(here, 50, 0.2)
    said = cluster(here, "start", "2", *ON, "--name", "two", "--walltime", "10m", "--worker", "-c 1")
    assert "cluster two on slurm: 2 allocations, 2 wanted" in said
    wait_until(lambda: {state(number) for number in numbers} == {"succeeded"}, 120)
    ran = sql("SELECT count(DISTINCT worker_id), count(DISTINCT scheduler_job_id) FROM attempts")
    assert ran == [(2, 2)]
    cluster(here, "stop", "two", "--wait")
    assert ends("two") == ["cancelled", "cancelled"]
    assert queued() == []


def test_a_dry_run_asks_slurm_and_queues_nothing(here: Project) -> None:
    shown = cluster(here, "start", "2", *ON, "--walltime", "10m", "--dry-run")
    assert "slurm says: " in shown
    assert queued() == []
    refused = here.run("simcelery", "cluster", "start", "1", *ON, "--partition", "nowhere", "--dry-run")
    assert refused.returncode == 2
    assert "it would not be taken" in refused.stderr
    assert "partition" in refused.stderr


def test_a_job_that_a_walltime_hits_goes_on_in_the_next_allocation(here: Project) -> None:
    """It is warned in time: in an allocation of a minute, after half of it."""
    here.environment["SIMCELERY_SHUTDOWN_GRACE"] = "5"
    [number] = jobs(here, 1, 300.0, "--max-attempts", "1")
    cluster(here, "start", "1", *ON, "--name", "short", "--walltime", "1m", "--worker", "-c 1")
    wait_until(lambda: any(one["cause"] == "walltime" for one in attempts(number)), 150)
    [ended, *_] = attempts(number)
    assert (ended["outcome"], ended["cause"]) == ("released", "walltime")
    quick = json.dumps({"path": str(here.folder / "ran"), "pause": 1})
    sql("UPDATE jobs SET parameters = CAST(:quick AS jsonb) WHERE id = :id", quick=quick, id=number)
    wait_until(lambda: state(number) == "succeeded", 150)
    assert len({one["scheduler_job_id"] for one in attempts(number)}) > 1
    assert row(number).failures == 0


def test_a_cancelled_allocation_is_rescued_as_such_and_at_once(here: Project) -> None:
    """Its worker is killed, so that it says nothing itself; its lease would last for ten minutes."""
    here.environment["SIMCELERY_LEASE"] = "600"
    [number] = jobs(here, 1, 60.0)
    cluster(here, "start", "1", *ON, "--name", "one", "--walltime", "10m", "--worker", "-c 1")
    wait_until(lambda: state(number) == "running", 60)
    [allocation] = listed(here, "one")["allocations"]
    cluster(here, "scale", "one", "0")
    [pid] = sql("SELECT pid FROM workers WHERE allocation = :name", name=allocation["name"])
    os.kill(pid[0], 9)
    subprocess.run(["scancel", allocation["scheduler_id"]], check=True)
    wait_until(lambda: state(number) == "pending", 90)
    [ended] = attempts(number)
    assert ended["outcome"] == "lost"
    assert f"allocation {allocation['scheduler_id']} of its worker ended" in ended["error_message"]


def test_none_while_there_is_no_work_and_some_while_there_is(here: Project) -> None:
    cluster(here, "auto", "work", *ON, "--max", "2", "--walltime", "10m", "--worker", "-c 1 --max-idle 3")
    numbers = jobs(here, 12, 2.0)
    wait_until(lambda: listed(here, "work")["running"] == 2, 90)
    wait_until(lambda: {state(number) for number in numbers} == {"succeeded"}, 90)
    wait_until(lambda: (listed(here, "work")["live"], queued()) == (0, []), 120)
    assert set(ends("work")) == {"finished"}
    assert jobs(here, 1, 1.0) != []
    wait_until(lambda: listed(here, "work")["live"] == 1, 60)


@pytest.mark.parametrize("reply", ["lost", "late"])
def test_an_answer_of_sbatch_that_is_lost_leaves_no_orphan(here: Project, reply: str) -> None:
    """The batch job is there, though nobody was told its number; it is found by its name, and counts."""
    site = here.folder / "site"
    site.mkdir()
    real = shutil.which("sbatch")
    after = "exit 1" if reply == "lost" else 'echo "the mail server is down"'
    (site / "sbatch").write_text(
        f'#!/bin/sh\n{real} "$@" >/dev/null\n[ -e {site}/once ] || {{ touch {site}/once; {after}; }}\n'
    )
    (site / "sbatch").chmod(0o755)
    path = f"{site}:{here.environment['PATH']}"
    done = here.run(
        "simcelery", "cluster", "start", "1", *ON, "--name", "lost", "--walltime", "5m", PATH=path
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: listed(here, "lost")["running"] == 1, 90)
    [one] = listed(here, "lost")["allocations"]
    assert one["scheduler_id"] is not None
    assert queued() == [one["name"]]
    cluster(here, "stop", "lost", "--wait")
    assert queued() == []


def test_a_controller_of_slurm_that_is_down_changes_nothing(here: Project) -> None:
    """Squeue and sbatch err for a while; nothing is taken for gone, nothing is submitted twice."""
    cluster(here, "start", "1", *ON, "--name", "calm", "--walltime", "10m", "--worker", "-c 1")
    wait_until(lambda: listed(here, "calm")["running"] == 1, 60)
    before = queued()
    site = here.folder / "site"
    site.mkdir()
    for name in ("squeue", "sbatch", "sacct", "scancel"):
        (site / name).write_text(
            "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n"
        )
        (site / name).chmod(0o755)
    path = f"{site}:{here.environment['PATH']}"
    for _ in range(6):
        sql("UPDATE clusters SET round_at = now()")
        sql("UPDATE allocations SET seen_at = seen_at - interval '2 min'")
        done = here.run("simcelery", "cluster", "resume", "calm", PATH=path)
        assert "Unable to contact slurm controller" in done.stdout + done.stderr
    shown: dict[str, Any] = listed(here, "calm")
    assert (shown["live"], shown["running"]) == (1, 1)
    assert queued() == before
