"""Workers that die, and workers that only seem to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.acceptance.helpers import LINES, executions, submit, submit_command, wait_for_command
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.processes import command_alive, command_of, sleeper
from tests.waiting import wait_until, within


def tree(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker's process and its pool children."""
    process = psutil.Process(worker.pid)
    return [process, *(one for one in process.children() if "celery" in one.name())]


@pytest.fixture
def stopped() -> Iterator[list[psutil.Process]]:
    """Processes that go on after the test, whatever happens in it."""
    held: list[psutil.Process] = []
    yield held
    for process in held:
        if process.is_running():
            process.resume()


def test_the_job_of_a_killed_worker_runs_again_elsewhere_within_its_lease_and_five_seconds(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    workers = [project.worker("-c", "1"), project.worker("-c", "1")]
    time.sleep(5.5)  # a lease: who has just come judges nobody
    job = submit(project, f"trace.submit({str(count)!r}, pause=4.0)")
    wait_until(lambda: executions(count) == 1)
    [holder] = [one for one in workers if row(job.id).pid in [process.pid for process in tree(one)]]
    holder.kill()
    killed_at = time.monotonic()
    wait_until(lambda: executions(count) == 2, 20)
    assert time.monotonic() - killed_at < within(5.0 + 5.0)
    assert job.result(timeout=within(20)) == "ran"
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [
        ("lost", "worker_lost"),
        ("succeeded", None),
    ]
    assert (row(job.id).losses, row(job.id).failures) == (1, 0)


def test_a_worker_that_starts_where_one_was_killed_takes_its_jobs_back_at_once(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    project.environment["SIMCELERY_LEASE"] = "600"  # so that it is not the lease
    doomed = project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause={within(2.0)})")
    wait_until(lambda: executions(count) == 1)
    doomed.kill()
    doomed.wait()
    project.worker("-c", "1")
    assert job.result(timeout=within(20)) == "ran"
    lost, won = attempts(job.id)
    assert (lost["outcome"], won["outcome"]) == ("lost", "succeeded")
    assert "started again on the same host" in lost["error_message"]


def test_the_first_of_two_workers_on_a_host_is_not_taken_for_a_dead_predecessor(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=4.0)")
    wait_until(lambda: executions(count) == 1)
    project.worker("-c", "1")
    assert job.result(timeout=within(20)) == "ran"
    assert executions(count) == 1


@pytest.mark.parametrize(("line", "runs"), LINES.items())
def test_a_worker_killed_at_any_line_loses_no_job_and_doubles_no_result(
    project: Project, tmp_path: Path, line: str, runs: int
) -> None:
    count, once = tmp_path / "count", tmp_path / "once"
    once.mkdir()
    worker = project.worker(
        "-c", "1", SIMCELERY_FAILPOINTS=f"{line}=kill-parent", SIMCELERY_FAILPOINTS_ONCE=str(once)
    )
    job = submit(project, f"trace.submit({str(count)!r})")
    assert worker.wait(within(20)) == -signal.SIGKILL
    assert (once / line).exists(), "the failpoint did not fire"
    project.worker("-c", "1")
    assert job.result(timeout=within(40)) == "ran"
    assert executions(count) == runs
    outcomes = [ended["outcome"] for ended in attempts(job.id)]
    assert outcomes.count("succeeded") == 1
    assert outcomes == ["lost"] * (len(outcomes) - 1) + ["succeeded"]


def test_a_killed_worker_leaves_no_process_of_its_jobs_behind(project: Project) -> None:
    worker = project.worker("-c", "1")
    seconds = sleeper()
    script = f"trap '' TERM; setsid sleep {seconds} & (trap '' TERM; sleep {seconds}) & sleep {seconds}"
    assert project.run("simcelery", "submit", "--", "sh", "-c", script).returncode == 0
    wait_until(lambda: command_alive(f"sleep {seconds}") == 3)
    worker.kill()
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0, 15)


def test_a_worker_that_comes_back_from_the_dead_cannot_overwrite_the_newer_attempt(
    project: Project, tmp_path: Path, stopped: list[psutil.Process]
) -> None:
    count = tmp_path / "count"
    first = project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=8.0)")
    wait_until(lambda: executions(count) == 1)
    stopped += tree(first)
    for process in stopped:
        process.suspend()
    second = project.worker("-c", "1")
    wait_until(lambda: executions(count) == 2, 30)
    time.sleep(2.5)  # by now the first attempt's time is over, and it succeeds as soon as it goes on
    for process in stopped:
        process.resume()
    assert job.result(timeout=within(30)) == "ran"
    wait_until(lambda: attempts(job.id)[0]["late_outcome"])
    zombie, winner = attempts(job.id)
    assert zombie["outcome"] == "lost"
    assert zombie["late_outcome"]["outcome"] == "succeeded"
    assert zombie["late_outcome"]["result"] == "ran"
    assert winner["outcome"] == "succeeded"
    assert winner["pid"] == row(job.id).pid
    assert second.poll() is None
    assert first.poll() is None
    shown = project.run("simcelery", "show", str(job.id)).stdout
    assert "late" in shown


def test_a_worker_that_comes_back_kills_what_was_given_to_others_and_works_on(
    project: Project, tmp_path: Path, stopped: list[psutil.Process]
) -> None:
    first = project.worker("-c", "1")
    old, new = sleeper(), sleeper()
    mark = tmp_path / "second"
    script = f"if test -e {mark}; then sleep {new}; else touch {mark}; sleep {old} & sleep {old}; fi"
    assert project.run("simcelery", "submit", "--", "sh", "-c", script).returncode == 0
    wait_until(lambda: command_alive(f"sleep {old}") == 2)
    stopped += tree(first)
    for process in stopped:
        process.suspend()
    project.worker("-c", "1")
    wait_until(lambda: command_alive(f"sleep {new}") == 1, 30)
    assert command_alive(f"sleep {old}") == 2  # nobody there to end it
    for process in stopped:
        process.resume()
    wait_until(lambda: command_alive(f"sleep {old}") == 0, 20)
    assert command_alive(f"sleep {new}") == 1
    count = tmp_path / "count"
    other = submit(project, f"trace.submit({str(count)!r})")
    assert other.result(timeout=within(20)) == "ran"  # by the first: the second is busy
    assert first.poll() is None


def test_a_worker_that_was_away_for_less_than_its_jobs_patience_keeps_them(
    project: Project, tmp_path: Path, stopped: list[psutil.Process]
) -> None:
    count = tmp_path / "count"
    first = project.worker("-c", "1")
    project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=10.0)")
    wait_until(lambda: executions(count) == 1)
    holder = next(
        worker for worker in project.processes if row(job.id).pid in [process.pid for process in tree(worker)]
    )
    stopped.append(psutil.Process(holder.pid))
    stopped[0].suspend()  # the parent alone: it does not renew, the job goes on
    time.sleep(3)
    stopped[0].resume()
    assert job.result(timeout=within(20)) == "ran"
    assert executions(count) == 1
    assert first.poll() is None


def test_a_job_that_is_longer_than_a_visibility_timeout_runs_once(project: Project, tmp_path: Path) -> None:
    source = project.folder / "sims.py"
    source.write_text(
        source.read_text()
        + "\n\nfrom simcelery import app\n"
        + "options = app.conf.broker_transport_options\n"
        + "app.conf.broker_transport_options = {**options, 'visibility_timeout': 1}\n"
    )
    count = tmp_path / "count"
    project.worker("-c", "2")
    job = submit(project, f"trace.submit({str(count)!r}, pause=7.0)")
    assert job.result(timeout=within(30)) == "ran"
    assert executions(count) == 1


def test_a_job_that_is_deleted_from_the_board_is_ended_and_the_worker_lives(
    project: Project, tmp_path: Path
) -> None:
    worker = project.worker("-c", "1")
    seconds = sleeper()
    assert project.run("simcelery", "submit", "--", "sleep", seconds).returncode == 0
    wait_until(lambda: command_alive(f"sleep {seconds}") == 1)
    with psycopg.connect(project.environment["SIMCELERY_DATABASE_URL"]) as connection:
        connection.execute("DELETE FROM jobs")
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0, 20)
    job = submit(project, f"trace.submit({str(tmp_path / 'count')!r})")
    assert job.result(timeout=within(20)) == "ran"
    assert worker.poll() is None


def test_a_killed_pool_child_is_noticed_at_once(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    project.environment["SIMCELERY_LEASE"] = "600"
    project.environment["SIMCELERY_RENEW_EVERY"] = "60"  # so that it is not the renewal
    project.worker("-c", "2")
    job = submit(project, f"trace.submit({str(count)!r}, pause=30.0)")
    wait_until(lambda: executions(count) == 1)
    os.kill(row(job.id).pid or 0, signal.SIGKILL)
    wait_until(lambda: executions(count) == 2, 10)
    [lost] = attempts(job.id)
    assert (lost["outcome"], lost["cause"]) == ("lost", "worker_lost")
    assert "SIGKILL" in lost["error_message"]


def test_a_killed_pool_child_leaves_no_process_of_its_job_behind(project: Project) -> None:
    worker = project.worker("-c", "1")
    seconds = sleeper()
    script = f"trap '' TERM; setsid sleep {seconds} & (trap '' TERM; sleep {seconds}) & sleep {seconds}"
    job = submit_command(project, "sh", "-c", script)
    wait_for_command(f"sleep {seconds}", 3)
    first = [process for process in psutil.process_iter() if command_of(process) == f"sleep {seconds}"]
    os.kill(row(job.id).pid or 0, signal.SIGKILL)
    wait_until(lambda: not any(process.is_running() for process in first), 15)
    wait_until(lambda: row(job.id).attempt == 2)
    assert worker.poll() is None


def test_a_reaper_that_was_killed_is_replaced(project: Project) -> None:
    worker = project.worker("-c", "1")
    seconds = sleeper()
    submit_command(project, "sleep", seconds)
    wait_for_command(f"sleep {seconds}")
    [reaper] = [one for one in psutil.Process(worker.pid).children() if "reaping" in " ".join(one.cmdline())]
    reaper.kill()
    wait_until(lambda: "starting another one" in project.logs())
    worker.kill()
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0, 15)


def test_the_last_of_a_large_fleet_does_the_acts_of_recovery_when_its_renewals_tell(
    project: Project,
) -> None:
    """It saw a thousand workers, and so asks for no turn of its own accord for minutes."""
    sql(
        """INSERT INTO workers (nodename, host, pid, queues, concurrency, version, lease_expires_at)
        SELECT 'w', 'h', 1, '{other}', 1, '0', now() + interval '1 h' FROM generate_series(1, 1000)"""
    )
    project.worker("-c", "1")
    taken = "SELECT count(*) FROM recovery WHERE last_by IS NOT NULL AND next_at > now()"
    wait_until(lambda: sql(taken) != [(0,)], 20)
    sql("UPDATE workers SET lease_expires_at = now(), ended_at = now() WHERE nodename = 'w'")
    soon = datetime.now(UTC) + timedelta(seconds=3)
    run_at = f"__import__('datetime').datetime.fromisoformat('{soon.isoformat()}')"
    job = submit(project, f"add.submit(1, run_at={run_at})")
    assert job.result(timeout=within(15)) == 2
