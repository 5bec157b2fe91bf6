"""Clusters on a real Slurm, with real workers; skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import slurm
from tests.acceptance.helpers import controllers
from tests.acceptance.test_clusters import cluster, listed
from tests.board_helpers import attempts, row, sql, state
from tests.conftest import Project
from tests.waiting import wait_until, within

if not slurm.answers():
    pytest.skip("no Slurm runs here", allow_module_level=True)

pytestmark = pytest.mark.timeout(600)

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
    assert (ended["outcome"], ended["cause"]) == ("lost", "walltime")  # it did not end by itself
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


def test_a_node_on_which_everything_failed_is_left_out(here: Project) -> None:
    nodes = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True)
    if len(set(nodes.stdout.split())) < 2:
        pytest.skip("Slurm has only one node here")
    cluster(here, "start", "1", *ON, "--name", "gpu", "--walltime", "10m", "--worker", "-c 1")
    wait_until(lambda: listed(here, "gpu")["running"] == 1, 60)
    [first] = listed(here, "gpu")["allocations"]
    wait_until(lambda: sql("SELECT count(*) FROM workers WHERE allocation IS NOT NULL") == [(1,)], 60)
    cluster(here, "scale", "gpu", "0")
    wait_until(lambda: sql("SELECT ended_at IS NOT NULL FROM workers") == [(True,)], 60)
    sql("UPDATE workers SET quarantined_at = now(), note = 'in quarantine: all failed'")
    said = cluster(here, "start", "1", *ON, "--name", "gpu", "--walltime", "10m", "--dry-run")
    [bad] = first["hosts"]
    assert f"leaves out {bad} until " in said
    for _ in range(2):  # of several nodes Slurm prefers the first that is free
        cluster(here, "scale", "gpu", "1")
        wait_until(lambda: listed(here, "gpu")["running"] == 1, 60)
        [now] = [one for one in listed(here, "gpu")["allocations"] if one["state"] == "running"]
        assert now["hosts"] != [bad]
        cluster(here, "scale", "gpu", "0")
        wait_until(lambda: listed(here, "gpu")["live"] == 0, 60)
    assert f"leaves out {bad} until " in cluster(here, "list", "gpu")
    cluster(here, "resume", "gpu")
    assert "leaves out" not in cluster(here, "list", "gpu")


def slurmctld() -> psutil.Process:
    """The controller of this host's Slurm; without the right to end it, the test is skipped."""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True).stdout
    [path] = [line.partition("=")[2].strip() for line in shown.splitlines() if "SlurmctldPidFile" in line]
    try:
        found = psutil.Process(int(Path(path).read_text()))
    except (OSError, ValueError, psutil.Error):
        pytest.skip("slurmctld does not run on this host")
    if os.geteuid() not in (0, found.uids().real):
        pytest.skip("only root may end slurmctld")
    return found


def answers() -> bool:
    """Whether Slurm's controller does."""
    return subprocess.run(["squeue", "-h"], capture_output=True).returncode == 0


@contextmanager
def ended() -> Iterator[None]:
    """Slurm's controller has ended, until the block does."""
    process = slurmctld()
    words, who, where = process.cmdline(), process.uids().real, process.cwd()
    group, environment = process.gids().real, process.environ()
    process.terminate()
    try:
        process.wait(within(30))
        yield
    finally:
        subprocess.run(words, user=who, group=group, extra_groups=[], cwd=where, env=environment, check=True)
        wait_until(answers, 60)


@contextmanager
def frozen() -> Iterator[None]:
    """Slurm's controller takes connections, and answers nobody."""
    process = slurmctld()
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        wait_until(answers, 60)


@pytest.mark.parametrize("away", [ended, frozen])
def test_while_slurmctld_is_away_jobs_run_and_nothing_is_believed_to_have_ended(
    here: Project, away: Callable[[], Any]
) -> None:
    cluster(here, "start", "1", *ON, "--name", "calm", "--walltime", "10m", "--worker", "-c 2")
    wait_until(lambda: listed(here, "calm")["running"] == 1, 60)
    [before] = queued()
    [long] = jobs(here, 1, 45.0)
    wait_until(lambda: state(long) == "running", 60)
    with away():
        until = time.monotonic() + 30.0  # on the board, twice as long as until something is taken for gone
        sql("UPDATE allocations SET seen_at = seen_at - interval '2 min'")
        while time.monotonic() < until:
            [short] = jobs(here, 1, 0.5 + time.monotonic() * 1e-9)
            wait_until(lambda: state(short) == "succeeded", 60)  # noqa: B023
            sql("UPDATE clusters SET round_at = now()")
        wait_until(lambda: listed(here, "calm")["note"], 90)
        shown = listed(here, "calm")
        assert (shown["live"], shown["running"], shown["failed"]) == (1, 1, 0)
        assert "calm" in here.run("simcelery", "doctor").stdout
    wait_until(
        lambda: sql("UPDATE clusters SET round_at = now()") is None and not listed(here, "calm")["note"], 90
    )
    assert queued() == [before]
    wait_until(lambda: state(long) == "succeeded", 90)
    assert [one["outcome"] for one in attempts(long)] == ["succeeded"]
    [only] = listed(here, "calm")["allocations"]
    assert (only["name"], only["state"]) == (before, "running")
    cluster(here, "scale", "calm", "2")
    wait_until(lambda: listed(here, "calm")["running"] == 2, 120)
