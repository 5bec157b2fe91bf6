"""kill -9 at every line between recorded and finished, and services that go away."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import redis

import simcelery
from simcelery import services
from simcelery.settings import Settings
from tests.acceptance.helpers import LINES
from tests.board_helpers import attempts, lane, row
from tests.conftest import Project
from tests.servers import ask, executions, kill_server
from tests.waiting import wait_until, within


def submit_trace(project: Project, path: Path, **environment: str) -> int:
    """Submit one job from a client process of its own; its exit code."""
    code = f"import sims; print(sims.trace.submit({str(path)!r}).id)"
    return project.python(code, **environment).returncode


# --- the client ---


@pytest.mark.parametrize("line", ["after_record", "before_send", "after_send"])
def test_a_client_killed_after_the_record_leaves_a_job_that_runs_once(
    project: Project, tmp_path: Path, line: str
) -> None:
    count = tmp_path / "count"
    assert submit_trace(project, count, SIMCELERY_FAILPOINTS=f"{line}=kill") == -signal.SIGKILL
    [job] = simcelery.jobs()
    assert job.state == "pending"
    assert job.row().published_at is None
    project.worker()
    assert job.result(timeout=within(30)) == "ran"
    assert executions(count) == 1


@pytest.mark.parametrize(
    "lines", ["after_record=kill@2", "before_send=kill@2", "before_send=raise@2,before_unmark=kill"]
)
def test_a_client_killed_in_a_loop_leaves_jobs_that_run_once(
    project: Project, tmp_path: Path, lines: str
) -> None:
    """The second one is recorded as published, so that its message looks lost, and is sent again."""
    counts = [tmp_path / "first", tmp_path / "second"]
    code = f"import sims; [sims.trace.submit(path) for path in {[*map(str, counts)]}]"
    assert project.python(code, SIMCELERY_FAILPOINTS=lines).returncode == -signal.SIGKILL
    first, second = sorted(simcelery.jobs(), key=lambda job: job.id)
    assert second.row().published_at == second.row().submitted_at
    project.worker()
    assert [job.result(timeout=within(40)) for job in (first, second)] == ["ran", "ran"]
    assert [executions(count) for count in counts] == [1, 1]


def test_a_client_killed_before_the_commit_leaves_nothing(project: Project, tmp_path: Path) -> None:
    killed = submit_trace(project, tmp_path / "count", SIMCELERY_FAILPOINTS="before_record_commit=kill")
    assert killed == -signal.SIGKILL
    assert len(simcelery.jobs()) == 0


# --- the pool child ---


@pytest.mark.parametrize(("line", "runs"), LINES.items())
def test_a_pool_child_killed_at_any_line_loses_no_job_and_doubles_no_result(
    project: Project, tmp_path: Path, line: str, runs: int
) -> None:
    count, once = tmp_path / "count", tmp_path / "once"
    once.mkdir()
    worker = project.worker(
        "-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once)
    )
    assert submit_trace(project, count) == 0
    [job] = simcelery.jobs()
    assert job.result(timeout=within(40)) == "ran"
    assert (once / line).exists(), "the failpoint did not fire"
    assert executions(count) == runs
    outcomes = [ended["outcome"] for ended in attempts(job.id)]
    assert outcomes.count("succeeded") == 1
    assert outcomes == ["lost"] * (len(outcomes) - 1) + ["succeeded"]
    assert row(job.id).failures == 0
    assert worker.poll() is None


def test_a_worker_told_to_end_at_once_releases_its_jobs(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1")
    assert project.python(f"import sims; sims.trace.submit({str(count)!r}, pause=30)").returncode == 0
    wait_until(lambda: executions(count) == 1)
    worker.send_signal(signal.SIGQUIT)
    worker.wait(within(20))
    [job] = simcelery.jobs()
    assert job.state == "pending"
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("released", "shutdown")
    assert (row(job.id).failures, row(job.id).losses) == (0, 0)


# --- Redis ---


def test_jobs_whose_messages_were_wiped_still_run_once(project: Project, tmp_path: Path) -> None:
    counts = [tmp_path / f"count{i}" for i in range(5)]
    for count in counts:
        assert submit_trace(project, count) == 0
    broker = redis.Redis.from_url(project.environment["SIMCELERY_BROKER_URL"])
    assert broker.dbsize() > 0
    broker.flushall()
    project.worker()
    for job in simcelery.jobs():
        assert job.result(timeout=within(40)) == "ran"
    assert [executions(count) for count in counts] == [1] * 5


def test_redis_wiped_under_a_running_worker_costs_no_job(project: Project, tmp_path: Path) -> None:
    project.worker("-c", "1")
    counts = [tmp_path / f"count{i}" for i in range(6)]
    code = "import sims\n" + "\n".join(f"sims.trace.submit({str(path)!r}, pause=0.3)" for path in counts)
    assert project.python(code).returncode == 0
    redis.Redis.from_url(project.environment["SIMCELERY_BROKER_URL"]).flushall()
    for job in simcelery.jobs():
        assert job.result(timeout=within(60)) == "ran"
    assert [executions(count) for count in counts] == [1] * 6


# --- servers of the test's own, to be stopped and started ---


def states(project: Project) -> str:
    """The states of all jobs, as a client sees them."""
    code = "import simcelery; print(*[job.state for job in simcelery.jobs()])"
    return project.python(code).stdout.strip()


def test_with_redis_stopped_a_submission_is_recorded_and_runs_when_redis_is_back(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    count = tmp_path / "count"
    kill_server(settings, "valkey")
    done = project.python(f"import sims; print(sims.trace.submit({str(count)!r}).state)")
    assert (done.returncode, done.stdout) == (0, "pending\n")
    assert done.stderr.count("\n") == 1
    assert "job 1 is recorded and will be published later: the broker at 127.0.0.1:" in done.stderr
    services.up(settings)
    project.worker()
    wait_until(lambda: states(project) == "succeeded", 40, every=0.5)
    assert executions(count) == 1


def test_messages_are_not_eaten_while_postgres_is_away(own: tuple[Settings, Project], tmp_path: Path) -> None:
    settings, project = own
    counts = [tmp_path / f"count{i}" for i in range(8)]
    code = "import sims\n" + "\n".join(f"sims.trace.submit({str(path)!r})" for path in counts)
    worker = project.worker("-c", "2")
    worker.send_signal(signal.SIGSTOP)
    assert project.python(code).returncode == 0
    kill_server(settings, "postgres")
    worker.send_signal(signal.SIGCONT)
    time.sleep(4)
    # Each child holds one message, and the parent may have taken some more; the others still wait.
    assert redis.Redis.from_url(settings.redis_url()).llen(lane("sims.trace")) >= 4
    services.up(settings)
    wait_until(lambda: states(project) == " ".join(["succeeded"] * 8), 60, every=0.5)
    assert [executions(count) for count in counts] == [1] * 8
    assert worker.poll() is None


def test_a_child_that_dies_while_postgres_is_away_is_reported_when_it_is_back(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    count = tmp_path / "count"
    project.worker("-c", "1")
    assert project.python(f"import sims; sims.trace.submit({str(count)!r}, pause=5.0)").returncode == 0
    wait_until(lambda: executions(count) == 1)
    [job] = ask(settings, "SELECT pid FROM jobs")
    kill_server(settings, "postgres")
    os.kill(job["pid"], signal.SIGKILL)
    time.sleep(3)
    services.up(settings)
    wait_until(lambda: states(project) == "succeeded", 60, every=0.5)
    assert executions(count) == 2


def test_a_result_is_kept_until_postgres_is_back(own: tuple[Settings, Project], tmp_path: Path) -> None:
    settings, project = own
    count = tmp_path / "count"
    project.worker("-c", "1")
    pause = within(2.0)  # longer than it takes to kill Postgres
    code = f"import sims; sims.trace.submit({str(count)!r}, pause={pause})"
    assert project.python(code).returncode == 0
    wait_until(lambda: executions(count) == 1)
    kill_server(settings, "postgres")
    wait_until(lambda: "kept until the board is back" in project.logs(), 30)
    services.up(settings)
    wait_until(lambda: states(project) == "succeeded", 40, every=0.5)
    assert executions(count) == 1


@pytest.mark.parametrize("line", ["after_claim", "before_run", "after_run", "before_finish"])
def test_an_attempt_killed_at_any_line_keeps_the_parameters_that_it_ran_with(
    project: Project, tmp_path: Path, line: str
) -> None:
    first, second, once = tmp_path / "first", tmp_path / "second", tmp_path / "once"
    once.mkdir()
    project.worker("-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill", SIMCELERY_FAILPOINTS_ONCE=str(once))
    code = f"import sims; sims.trace.submit({str(first)!r}, max_losses=0)"
    assert project.python(code).returncode == 0
    [job] = simcelery.jobs()
    wait_until(lambda: job.state == "failed", 40)
    revised = project.run("simcelery", "retry", str(job.id), "--set", f"path={second}", "-y")
    assert revised.returncode == 0, revised.stderr
    assert job.result(timeout=within(40)) == "ran"
    assert executions(first) == (1 if line in ("after_run", "before_finish") else 0)
    assert executions(second) == 1
    shown = json.loads(project.run("simcelery", "show", str(job.id), "-o", "json").stdout)
    ran_with = [one["parameters"]["path"] for one in shown["attempts"]]
    assert ran_with == [str(first), str(second)]
