"""Cancel of running jobs: confirmed, and with every process of theirs gone."""

from __future__ import annotations

import time
from pathlib import Path

from simcelery import get_job
from tests.acceptance.helpers import executions, submit, submit_command, wait_for_command
from tests.board_helpers import attempts
from tests.conftest import Project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within

GRACE = 1.0  # of the test projects


def test_a_cancelled_command_whose_grandchildren_ignore_sigterm_leaves_no_process(project: Project) -> None:
    worker = project.worker("-c", "1")
    seconds = sleeper()
    script = f"trap '' TERM; (trap '' TERM; setsid sleep {seconds} & sleep {seconds}) & sleep {seconds}; true"
    job = submit_command(project, "sh", "-c", script)
    wait_for_command(f"sleep {seconds}", 3)
    asked_at = time.monotonic()
    job.cancel()
    wait_until(lambda: job.state != "running", GRACE + 5)
    assert command_alive(f"sleep {seconds}") == 0
    assert time.monotonic() - asked_at < GRACE + 5
    assert job.state == "cancelled"
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("cancelled", "cancelled")
    assert "processes that it had started" in ended["error_message"]
    assert worker.poll() is None


def test_a_cancel_needs_no_redis(project: Project) -> None:
    project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(project, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")
    nowhere = {"SIMCELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert project.run("simcelery", "cancel", str(job.id), **nowhere).returncode == 0
    wait_until(lambda: job.state == "cancelled", 10)
    assert command_alive(f"sleep {seconds}") == 0


def test_a_cancel_does_not_wait_for_the_renewal_of_the_lease(project: Project) -> None:
    project.environment |= {"SIMCELERY_LEASE": "600", "SIMCELERY_RENEW_EVERY": "100"}
    project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(project, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")
    job.cancel()
    wait_until(lambda: job.state == "cancelled", 10)
    assert command_alive(f"sleep {seconds}") == 0


def test_the_pool_child_of_a_cancelled_job_runs_the_next_one(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=60.0)")
    wait_until(lambda: executions(count) == 1)
    job.cancel()
    wait_until(lambda: job.state == "cancelled", 10)
    following = submit(project, "add.submit(1)")
    assert following.result(timeout=within(20)) == 2
    assert attempts(following.id)[0]["pid"] == attempts(job.id)[0]["pid"]


def test_a_workflow_that_swallows_everything_is_killed(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1")
    job = submit(project, f"deaf.submit({str(count)!r})")
    wait_until(lambda: executions(count) == 1)
    job.cancel()
    wait_until(lambda: job.state == "cancelled", GRACE + 5)
    assert [one["outcome"] for one in attempts(job.id)] == ["cancelled"]
    assert submit(project, "add.submit(1)").result(timeout=within(20)) == 2
    assert worker.poll() is None


def test_celerys_revoke_cancels_a_running_job(project: Project) -> None:
    project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(project, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")
    code = f"import simcelery; simcelery.app.control.revoke({str(job.task_id)!r}, terminate=True)"
    assert project.python(code).returncode == 0
    wait_until(lambda: job.state == "cancelled", 10)
    assert command_alive(f"sleep {seconds}") == 0


def test_celerys_remote_terminate_is_refused_and_says_what_to_do_instead(project: Project) -> None:
    """It speaks to the worker, not to the board, and whoever can reach Redis can send it."""
    project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(project, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")
    done = project.run("celery", "-A", "simcelery", "control", "terminate", "SIGTERM", str(job.task_id))
    assert (
        "remote command terminate is refused: cancel jobs with 'simcelery cancel'"
        in done.stdout + done.stderr
    )
    assert job.state == "running"
    assert command_alive(f"sleep {seconds}") > 0
    job.cancel()
    wait_until(lambda: job.state == "cancelled", 15)


def test_of_many_cancels_at_once_each_hits_its_own_job(project: Project, tmp_path: Path) -> None:
    """A cancel that comes when its job has just ended must not hit the next one in the same child."""
    project.worker("-c", "2")
    counts = [tmp_path / f"count{i}" for i in range(20)]
    code = "import sims\nfor path in %r: print(sims.trace.submit(path, pause=0.4).id)"
    done = project.python(code % [str(path) for path in counts])
    jobs = [get_job(int(line)) for line in done.stdout.split()]
    doomed, spared = jobs[::2], jobs[1::2]
    for job in doomed:
        job.cancel()
        time.sleep(0.2)
    for job in spared:
        assert job.result(timeout=within(30)) == "ran"
    for job in doomed:
        assert job.wait(timeout=within(30)) in ("cancelled", "succeeded")
    assert all(len(attempts(job.id)) == 1 for job in spared)
    assert all(executions(path) <= 1 for path in counts)
