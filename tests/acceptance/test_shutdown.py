"""How a worker ends: on request, by Ctrl+C, and by limits of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import simcelery
from tests.acceptance.helpers import executions, submit, submit_command, wait_for_command
from tests.board_helpers import attempts, row
from tests.conftest import Project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within


def released(number: int, cause: str = "shutdown") -> bool:
    """Whether the job waits again, and neither failure nor loss was counted."""
    job = row(number)
    [ended] = attempts(number)
    counted = job.failures + job.losses
    return (job.state, ended["outcome"], ended["cause"], counted) == ("pending", "released", cause, 0)


def test_a_job_that_listens_saves_its_work_and_is_released(project: Project, tmp_path: Path) -> None:
    worker = project.worker("-c", "1")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    wait_until(lambda: job.state == "running")
    wait_until((tmp_path / "saved.began").exists)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert (tmp_path / "saved").read_text() == "half done"
    assert released(job.id)


def test_a_job_that_does_not_listen_gets_the_grace_period_and_is_released(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1", SIMCELERY_SHUTDOWN_GRACE="2")
    job = submit(project, f"trace.submit({str(count)!r}, pause=60.0)")
    wait_until(lambda: executions(count) == 1)
    asked_at = time.monotonic()
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert time.monotonic() - asked_at > 1.9
    assert released(job.id)
    project.worker("-c", "1")
    wait_until(lambda: executions(count) == 2)  # at once, on the next worker


def test_a_job_that_ends_within_the_grace_period_has_succeeded(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=2.0)")
    wait_until(lambda: executions(count) == 1)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert job.state == "succeeded"


def test_a_command_is_warned_with_sigterm_and_released(project: Project, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    worker = project.worker("-c", "1")
    script = (
        f"trap 'echo checkpoint > {saved}; exit 1' TERM; touch {saved}.began; while :; do sleep 0.1; done"
    )
    job = submit_command(project, "sh", "-c", script)
    wait_until(Path(f"{saved}.began").exists)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert saved.read_text() == "checkpoint\n"
    assert released(job.id)


def test_a_command_that_ignores_the_warning_is_killed_with_all_its_processes(project: Project) -> None:
    worker = project.worker("-c", "1", SIMCELERY_SHUTDOWN_GRACE="1")
    seconds = sleeper()
    script = f"trap '' TERM; (trap '' TERM; setsid sleep {seconds}) & sleep {seconds}; true"
    job = submit_command(project, "sh", "-c", script)
    wait_for_command(f"sleep {seconds}", 2)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert command_alive(f"sleep {seconds}") == 0
    assert released(job.id)


def test_a_workflow_that_swallows_everything_is_killed_and_released(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1", SIMCELERY_SHUTDOWN_GRACE="1")
    job = submit(project, f"deaf.submit({str(count)!r})")
    wait_until(lambda: executions(count) == 1)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert released(job.id)


def test_no_job_is_claimed_once_the_worker_is_told_to_end(project: Project, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    worker = project.worker("-c", "1")
    running = submit(project, f"trace.submit({str(first)!r}, pause=3.0)")
    wait_until(lambda: executions(first) == 1)
    worker.terminate()
    waiting = submit(project, f"trace.submit({str(second)!r})")
    assert worker.wait(within(20)) == 0
    assert (running.state, waiting.state) == ("succeeded", "pending")
    assert executions(second) == 0
    project.worker("-c", "1")
    assert waiting.result(timeout=within(20)) == "ran"


def test_a_fail_in_the_grace_period_is_a_failure(project: Project, tmp_path: Path) -> None:
    worker = project.worker("-c", "1")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r}, then='fail')")
    wait_until((tmp_path / "saved.began").exists)
    worker.terminate()
    assert worker.wait(within(20)) == 0
    assert job.state == "failed"


def test_a_child_that_a_scheduler_signals_gets_the_same_grace(project: Project, tmp_path: Path) -> None:
    """Slurm and PBS send SIGTERM to every process of an allocation, not to the worker alone."""
    worker = project.worker("-c", "1")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    wait_until((tmp_path / "saved.began").exists)
    os.kill(row(job.id).pid or 0, signal.SIGTERM)
    wait_until((tmp_path / "saved").exists)
    wait_until(lambda: attempts(job.id))
    assert attempts(job.id)[0]["outcome"] == "released"
    assert worker.poll() is None


# --- Ctrl+C ---

# Runs a worker in a terminal of its own, and types Ctrl+C there when the file is made that it is told.
TERMINAL = """
import os, pty, select, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("celery", ["celery", "-A", "simcelery", "worker", "-c", "1", "-n", "tty@%h"])
interrupted = False
while True:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            os.write(1, os.read(terminal, 4096))
        except OSError:
            break
    if not interrupted and os.path.exists(sys.argv[1]):
        os.write(terminal, b"\\x03")
        interrupted = True
os.waitpid(pid, 0)
"""


def test_ctrl_c_waits_for_the_grace_period_and_a_second_one_releases_at_once(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    worker = project.worker("-c", "1")
    job = submit(project, f"trace.submit({str(count)!r}, pause=60.0)")
    wait_until(lambda: executions(count) == 1)
    worker.send_signal(signal.SIGINT)
    time.sleep(2)
    assert job.state == "running"
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    worker.wait(within(10))
    assert released(job.id)
    assert "Ctrl+C again releases them now" in project.logs()


def test_a_third_ctrl_c_ends_the_worker_and_all_processes_of_its_jobs(project: Project) -> None:
    project.environment["SIMCELERY_KILL_GRACE"] = "5"
    worker = project.worker("-c", "1")
    seconds = sleeper()
    job = submit_command(
        project, "sh", "-c", f"trap '' TERM; (trap '' TERM; sleep {seconds}) & sleep {seconds}"
    )
    wait_for_command(f"sleep {seconds}", 2)
    for _ in range(3):
        worker.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert worker.wait(within(5)) == 1
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0, 15)
    project.worker("-c", "1")
    wait_until(lambda: row(job.id).attempt == 2)


def test_ctrl_c_in_a_terminal_reaches_neither_the_jobs_nor_their_commands(
    project: Project, tmp_path: Path
) -> None:
    """A terminal sends SIGINT to the whole foreground group; a command of a job must not get it."""
    seconds = sleeper()
    log = (tmp_path / "terminal.log").open("wb")
    terminal = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, str(tmp_path / "go")],
        cwd=project.folder,
        env=project.environment,
        stdout=log,
    )
    project.processes.append(terminal)
    saved = tmp_path / "saved"
    command = f"trap 'echo interrupted > {saved}' INT; sleep {seconds} & wait; wait; echo ended"
    job = submit_command(project, "sh", "-c", command)
    wait_for_command(f"sleep {seconds}")
    (tmp_path / "go").touch()
    wait_until(lambda: b"stopping; running jobs have" in (tmp_path / "terminal.log").read_bytes(), 30)
    terminal.wait(within(60))
    assert not saved.exists()
    assert command_alive(f"sleep {seconds}") == 0
    assert released(job.id)


# --- limits of the worker's own ---


def test_max_jobs_is_exact(project: Project, tmp_path: Path) -> None:
    done = project.python("import sims; list(sims.add.submit_many({'a': i} for i in range(9)))")
    assert done.returncode == 0, done.stderr
    worker = project.worker("-c", "2", "--max-jobs", "5")
    assert worker.wait(within(30)) == 0
    assert simcelery.jobs().counts() == {"succeeded": 5, "pending": 4}


def test_max_jobs_also_ends_a_worker_that_runs_jobs_in_its_own_process(project: Project) -> None:
    done = project.python("import sims; list(sims.add.submit_many({'a': i} for i in range(4)))")
    assert done.returncode == 0, done.stderr
    worker = project.worker("-c", "1", "--pool", "solo", "--unsafe-pool", "--max-jobs", "3")
    assert worker.wait(within(30)) == 0
    assert simcelery.jobs().counts() == {"succeeded": 3, "pending": 1}


@pytest.mark.parametrize("line", ["before_claim", "after_claim"])
def test_a_child_killed_at_its_claim_takes_no_job_of_max_jobs_with_it(
    project: Project, tmp_path: Path, line: str
) -> None:
    done = project.python("import sims; list(sims.add.submit_many({'a': i} for i in range(4)))")
    assert done.returncode == 0, done.stderr
    (tmp_path / "once").mkdir()
    worker = project.worker(
        *("-c", "2", "--max-jobs", "3"),
        SIMCELERY_FAILPOINTS=f"{line}=kill",
        SIMCELERY_FAILPOINTS_ONCE=str(tmp_path / "once"),
    )
    assert worker.wait(within(60)) == 0
    assert [path.name for path in (tmp_path / "once").iterdir()] == [line]
    assert simcelery.jobs().counts() == {"succeeded": 3, "pending": 1}


def test_max_idle_ends_an_idle_worker_and_no_other(project: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    job = submit(project, f"trace.submit({str(count)!r}, pause=4.0)")
    worker = project.worker("-c", "1", "--max-idle", "2s")
    assert worker.wait(within(30)) == 0
    assert job.state == "succeeded"


def test_drain_ends_when_nothing_is_left_and_does_all_of_it(project: Project, tmp_path: Path) -> None:
    code = """
        import sims
        jobs = sims.add.submit_many({"a": i} for i in range(20))
        sims.total.submit(values=list(jobs))
        sims.flaky.submit(3)
    """
    assert project.python(code).returncode == 0
    worker = project.worker("-c", "2", "--drain")
    assert worker.wait(within(60)) == 0
    assert simcelery.jobs().counts() == {"succeeded": 22}


def test_before_its_walltime_ends_a_worker_warns_its_jobs_and_a_loss_is_counted(
    project: Project, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    job = submit(project, f"trace.submit({str(count)!r}, pause=60.0)")
    worker = project.worker("-c", "1", "--walltime", "12", SIMCELERY_SHUTDOWN_GRACE="1")
    assert worker.wait(within(40)) == 0
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("lost", "walltime")
    assert (row(job.id).state, row(job.id).losses, row(job.id).failures) == ("pending", 1, 0)
    assert "the allocation ends soon" in project.logs()


def test_slurm_tells_the_walltime_by_itself(project: Project, tmp_path: Path) -> None:
    worker = project.worker(
        "-c",
        "1",
        SIMCELERY_SHUTDOWN_GRACE="1",
        SLURM_JOB_ID="4711",
        SLURM_JOB_END_TIME=str(int(time.time() + within(15))),
    )
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    assert worker.wait(within(40)) == 0
    assert (tmp_path / "saved").read_text() == "half done"
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["scheduler_job_id"]) == ("released", "4711")


# --- startup ---


def test_startup_runs_once_in_each_child_before_its_first_job(project: Project, tmp_path: Path) -> None:
    project.environment["STARTED"] = str(tmp_path / "started")
    project.worker("-c", "2", "--startup", "sims:warm_up")
    jobs = [submit(project, "is_warm.submit()") for _ in range(6)]
    assert all(job.result(timeout=within(20)) for job in jobs)
    pids = (tmp_path / "started").read_text().split()
    assert len(pids) == len(set(pids)) == 2


def test_a_startup_that_fails_ends_the_worker_and_costs_no_job(project: Project) -> None:
    job = submit(project, "add.submit(1)")
    log = project.folder / "broken.log"
    worker = subprocess.Popen(
        ["celery", "-A", "simcelery", "worker", "-c", "2", "--startup", "sims:cannot_start"],
        cwd=project.folder,
        env=project.environment,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    project.processes.append(worker)
    assert worker.wait(within(30)) == 1
    assert "the function named by --startup failed" in log.read_text()
    assert "no such device" in log.read_text()
    assert job.state == "pending"
    assert attempts(job.id) == []


def test_a_worker_can_be_stopped_while_its_children_start(project: Project, tmp_path: Path) -> None:
    started = tmp_path / "started"
    worker = project.worker("-c", "2", "--startup", "sims:slow_start", STARTED=str(started))
    wait_until(started.exists)
    worker.terminate()
    assert worker.wait(within(20)) == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [("sims", "write module:function"), ("nowhere:f", "there is no module 'nowhere'")],
)
def test_a_malformed_startup_is_refused_in_one_line(project: Project, value: str, reason: str) -> None:
    done = project.run("celery", "-A", "simcelery", "worker", "-c", "1", "--startup", value)
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]


def test_a_malformed_duration_is_refused_in_one_line(project: Project) -> None:
    done = project.run("celery", "-A", "simcelery", "worker", "--max-idle", "soon")
    assert done.returncode == 2
    assert "'soon' is not a duration" in done.stderr
