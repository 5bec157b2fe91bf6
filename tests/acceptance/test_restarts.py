"""Programs that go on where the last attempt of their job has left off."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from simcelery import Job
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within


def left(project: Project, job: Job) -> int:
    """How far the newest attempt of a job is."""
    pattern = f"{job.id}.{job.row().attempt}-*/left"
    found = list(Path(project.environment["SIMCELERY_HOME"]).rglob(pattern))
    return int(found[0].read_text()) if found else 0


def continued(job: Job) -> list[tuple[int, int]]:
    """Which attempt went on from which, by these files."""
    found = sql("SELECT attempt, continues, files FROM restarts WHERE job_id = :id ORDER BY 1", id=job.id)
    assert {one.files for one in found} <= {"left -> state"}
    return [(one.attempt, one.continues) for one in found]


def test_after_a_kill_a_program_goes_on_from_the_files_of_the_last_attempt(project: Project) -> None:
    worker = project.worker("-c", "1")
    job = submit(project, f"counts.submit(pause={within(0.2)})")
    for attempt in (1, 2):
        wait_until(lambda: job.row().attempt == attempt and left(project, job) > 2 * attempt, 60)  # noqa: B023
        worker.kill()
        worker.wait()
        worker = project.worker("-c", "1")
    assert job.result(timeout=within(90))["counted"] == 10
    assert [one["outcome"] for one in attempts(job.id)] == ["lost", "lost", "succeeded"]
    assert continued(job) == [(2, 1), (3, 2)]


def test_a_stop_file_ends_a_program_without_a_failure_or_a_loss(project: Project) -> None:
    """Its exit code is 0, as if it had finished; but it was told to stop."""
    worker = project.worker("-c", "1")
    job = submit(project, f"counts.submit(pause={within(0.2)})")
    wait_until(lambda: left(project, job) > 2, 60)
    worker.send_signal(signal.SIGTERM)
    worker.wait(within(60))
    assert (job.state, row(job.id).failures, row(job.id).losses) == ("pending", 0, 0)
    assert "stopped\n" in job.log()
    project.worker("-c", "1")
    assert job.result(timeout=within(90))["counted"] == 10
    assert [one["outcome"] for one in attempts(job.id)] == ["released", "succeeded"]
    assert continued(job) == [(2, 1)]


@pytest.mark.parametrize(
    ("options", "goes_on"), [([], True), (["--from-scratch"], False), (["--set", "name=other"], False)]
)
def test_other_parameters_or_from_scratch_go_on_from_nothing(
    project: Project, options: list[str], goes_on: bool
) -> None:
    project.worker("-c", "1")
    job = submit(project, f"counts.submit(pause={within(0.4)})")
    wait_until(lambda: left(project, job) > 1, 60)
    job.cancel()
    job.wait(within(60))
    assert project.run("simcelery", "retry", str(job.id), *options).returncode == 0
    assert job.result(timeout=within(60))["counted"] == 10
    assert continued(job) == ([(2, 1)] if goes_on else [])
    if options == ["--from-scratch"]:
        shown = project.run("simcelery", "show", str(job.id)).stdout
        assert "after attempt 1: from scratch; by " in shown


def test_what_is_continued_is_one_state_with_the_input_that_led_to_it(
    project: Project, tmp_path: Path
) -> None:
    """A correction goes with it and counts, and an attempt that failed at once loses nothing."""
    project.worker("-c", "1")
    marks = tmp_path / "marks"
    marks.mkdir()
    job = submit(project, f"moves.submit(marks={str(marks)!r})")
    result = job.result(timeout=within(60))
    assert (result["begun"], result["wave"], result["dt"]) == (100, 7, 1)
    assert (result["corrections"], len(job.corrections())) == (1, 1)
    found = sql("SELECT attempt, continues, files FROM restarts WHERE job_id = :id ORDER BY 1", id=job.id)
    assert [tuple(one) for one in found] == [
        (2, 1, "moves.sh, INCAR, CONTCAR -> POSCAR, WAVECAR"),
        (3, 2, "moves.sh, INCAR, POSCAR, WAVECAR"),
    ]
