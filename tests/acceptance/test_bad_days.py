"""What user code does to the process that runs it: the worker lives, and the next job finds all in order."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from simcelery.execution import memory
from simcelery.services import Services
from tests.acceptance.helpers import executions, submit, submit_command
from tests.board_helpers import attempts, row
from tests.conftest import BIN, Project, empty, make_project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until, within


@pytest.fixture(scope="module")
def lone_worker(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A worker with one pool child, so that each job meets what the one before it left."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("project"))
    made.worker("-c", "1")
    yield made
    made.end()


@pytest.fixture
def lone(lone_worker: Project) -> Iterator[Project]:
    """After each test that uses it, the worker lives, and the next job succeeds."""
    yield lone_worker
    assert lone_worker.processes[0].poll() is None
    assert submit(lone_worker, "add.submit(1)").result(timeout=within(30)) == 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("os._exit", "exitcode 3"),
        ("kill", "SIGKILL"),
        ("exec", "exitcode 0"),
    ],
)
def test_a_job_that_takes_its_process_with_it_is_lost_until_it_has_no_losses_left(
    lone: Project, how: str, words: str
) -> None:
    job = submit(lone, f"deadly.submit({how!r})")
    wait_until(lambda: job.state == "failed", 40)
    assert [(one["outcome"], one["cause"]) for one in attempts(job.id)] == [("lost", "worker_lost")] * 2
    assert row(job.id).error_type == "LostWorkerError"
    assert words in attempts(job.id)[0]["error_message"]
    assert row(job.id).failures == 0


@pytest.mark.parametrize(
    "how", ["folder", "deleted folder", "signals", "streams", "descriptors", "environment", "mask"]
)
def test_what_a_job_changes_of_its_process_is_put_back(lone: Project, how: str) -> None:
    before = submit(lone, "surroundings.submit()")
    spoiler = submit(lone, f"spoil.submit({how!r})")
    assert spoiler.result(timeout=within(20)) == how
    after = submit(lone, "surroundings.submit()")
    assert after.result(timeout=within(20)) == before.result(timeout=within(20))
    assert attempts(after.id)[0]["pid"] == attempts(before.id)[0]["pid"]
    assert "hello" in submit_and_log(lone)


def submit_and_log(project: Project) -> str:
    """What a job that prints ``hello`` is known to have printed."""
    job = submit(project, "say_hello.submit()")
    job.result(timeout=within(20))
    return job.log()


def test_threads_that_a_job_leaves_behind_disturb_no_other(lone: Project) -> None:
    assert submit(lone, "spoil.submit('threads')").result(timeout=within(20)) == "threads"
    logs = [submit_and_log(lone) for _ in range(3)]
    assert all("hello" in log for log in logs)


def test_a_job_that_forks_and_lets_the_copy_return_is_recorded_once(lone: Project, tmp_path: Path) -> None:
    count = tmp_path / "count"
    job = submit(lone, f"fork_and_return.submit({str(count)!r})")
    assert job.result(timeout=within(20)) == "parent"
    wait_until(lambda: executions(count) == 2)
    assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]


def test_a_time_limit_ends_all_processes_of_the_job(lone: Project) -> None:
    seconds = sleeper()
    job = submit(lone, f"slow_command.submit({seconds!r})")
    wait_until(lambda: command_alive(f"sleep {seconds}") == 2)
    wait_until(lambda: job.state == "failed", 20)
    assert command_alive(f"sleep {seconds}") == 0
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["cause"]) == ("failed", "time_limit")


def test_a_process_that_a_workflow_forked_can_be_terminated(lone: Project) -> None:
    """It inherits the handler of the pool child, but none of its duties."""
    job = submit(lone, "ends_a_child.submit()")
    assert job.result(timeout=within(20)) == -15
    assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]


def test_a_failed_attempt_leaves_no_process_behind(lone: Project) -> None:
    seconds = sleeper()
    job = submit(lone, f"leaves_a_process.submit({seconds!r}, 'fails')")
    wait_until(lambda: job.state == "failed")
    assert command_alive(f"sleep {seconds}") == 0


# --- with workers of their own; the board is emptied, so the one above is at its end ---


def test_a_finished_outcome_is_not_killed_by_the_time_limit_while_it_waits_for_postgres(
    project: Project,
) -> None:
    """The limit is the workflow's: what comes after it takes as long as it takes."""
    project.worker("-c", "1", SIMCELERY_FAILPOINTS="before_finish=sleep:5")
    job = submit(project, "slow.submit(0.5)")  # its limit is 1 s, and kill_grace 1 s
    assert job.result(timeout=within(30)) == "done"
    assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory control group limited to 400 MiB."""
    files = memory._own_files()
    if not files:
        pytest.skip("no memory control group is mounted")
    folder = files[0].parent / f"simcelery-worker-{os.getpid()}"
    limit = "memory.limit_in_bytes" if files[0].name == "memory.oom_control" else "memory.max"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(400 << 20))
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    yield folder
    for _ in range(100):
        with suppress(OSError):
            folder.rmdir()
            break
        time.sleep(0.05)


def test_a_job_that_eats_all_memory_is_lost_for_that_reason_and_the_worker_lives(
    project: Project, small_memory: Path
) -> None:
    log = project.folder / "worker0.log"
    command = f"echo $$ > {small_memory}/cgroup.procs; exec {BIN}/celery -A simcelery worker -c 1 -l INFO"
    worker = subprocess.Popen(
        ["sh", "-c", command],
        cwd=project.folder,
        env=project.environment,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    project.processes.append(worker)
    job = submit(project, "deadly.submit('memory')")
    wait_until(lambda: job.state == "failed", 120)
    assert {(one["outcome"], one["cause"]) for one in attempts(job.id)} == {("lost", "out_of_memory")}
    assert "memory" in (row(job.id).error or "")
    program = submit_command(project, "sh", "-c", "python -c \"x = b'x' * (900 << 20)\"; exit $?")
    wait_until(lambda: program.state == "failed", 120)
    assert [(one["outcome"], one["cause"]) for one in attempts(program.id)] == [("failed", "out_of_memory")]
    assert "memory ran out" in (row(program.id).error or "")
    for how in ("check", "text", "pool"):
        starved = submit(project, f"starves_a_process.submit({how!r})")
        wait_until(lambda job=starved: job.state == "failed", 60)
        [ended] = attempts(starved.id)
        assert (ended["outcome"], ended["cause"]) == ("failed", "out_of_memory"), (how, ended)
        assert "the kernel killed a process of it because memory ran out" in ended["error_message"]
    assert submit(project, "add.submit(1)").result(timeout=within(30)) == 2
    assert worker.poll() is None
    project.stop()
    worker.wait(within(20))
