"""Workers inside real allocations of a real Slurm; skipped where there is none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import slurm
from tests.acceptance.helpers import submit, submit_command, wait_for_command
from tests.board_helpers import attempts, row
from tests.conftest import BIN, Project
from tests.processes import command_alive, sleeper
from tests.waiting import wait_until

if not slurm.answers():
    pytest.skip("no Slurm runs here", allow_module_level=True)

Allocate = Callable[..., str]


@pytest.fixture
def allocate(project: Project) -> Iterator[Allocate]:
    """Start a worker in an allocation; gives Slurm's number of it."""
    started: list[str] = []

    def allocate(minutes: int, **environment: str) -> str:
        log = project.folder / f"slurm{len(started)}.log"
        command = f"exec srun {BIN}/celery -A simcelery worker -c 1 -l INFO -n slurm{len(started)}@%h"
        done = subprocess.run(
            ["sbatch", "--parsable", "-t", str(minutes), "-o", str(log), "--wrap", command],
            cwd=project.folder,
            env={**project.environment, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        started.append(done.stdout.strip())
        wait_until(lambda: log.exists() and " ready." in log.read_text(errors="replace"), 60)
        return started[-1]

    yield allocate
    for number in started:
        subprocess.run(["scancel", number], check=False)
        wait_until(lambda number=number: not queued(number), 60)  # type: ignore[misc]


def queued(number: str) -> bool:
    """Whether Slurm still knows the allocation as waiting, running or completing."""
    done = subprocess.run(["squeue", "-h", "-j", number], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


def test_before_the_allocation_ends_the_job_is_warned_and_released(
    project: Project, allocate: Allocate, tmp_path: Path
) -> None:
    number = allocate(1, SIMCELERY_SHUTDOWN_GRACE="5")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    wait_until((tmp_path / "saved").exists, 70)
    wait_until(lambda: not queued(number), 60)
    [ended] = attempts(job.id)
    assert (ended["outcome"], ended["scheduler_job_id"]) == ("released", number)
    assert (row(job.id).failures, row(job.id).losses) == (0, 0)


def test_a_cancelled_allocation_warns_its_jobs_and_leaves_nothing(
    project: Project, allocate: Allocate, tmp_path: Path
) -> None:
    number = allocate(5, SIMCELERY_SHUTDOWN_GRACE="5")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    wait_until((tmp_path / "saved.began").exists)
    subprocess.run(["scancel", number], check=True)
    wait_until((tmp_path / "saved").exists, 20)
    wait_until(lambda: attempts(job.id))
    assert attempts(job.id)[0]["outcome"] == "released"
    wait_until(lambda: not queued(number), 60)


def test_a_killed_allocation_leaves_no_process_and_its_job_runs_again(
    project: Project, allocate: Allocate
) -> None:
    number = allocate(5)
    seconds = sleeper()
    job = submit_command(project, "sh", "-c", f"setsid sleep {seconds} & sleep {seconds}")
    wait_for_command(f"sleep {seconds}", 2)
    subprocess.run(["scancel", "--signal=KILL", "--full", number], check=True)
    wait_until(lambda: command_alive(f"sleep {seconds}") == 0, 30)
    wait_until(lambda: not queued(number), 60)
    allocate(5)
    wait_until(lambda: row(job.id).attempt == 2, 30)
