"""A job whose process is signalled from within ends as it would in any other process."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

pytestmark = pytest.mark.installed_programs

WAYS = ("kill", "raise", "library", "thread", "shell", "system", "group", "session")


def outcomes(project: Project, ways: Sequence[str], number: int) -> list[tuple[str, str | None]]:
    """How the jobs end, and their errors."""
    calls = f"[sims.signalled.submit(way, {number}, max_losses=0) for way in {ways!r}]"
    assert project.python(f"import sims; {calls}").returncode == 0
    wait_until(lambda: sql("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == [(0,)], 90)
    return [tuple(line) for line in sql("SELECT state, error_type FROM jobs ORDER BY id")]


def test_a_job_that_is_ended_from_within_never_succeeds(project: Project) -> None:
    worker = project.worker("-c", "2")
    assert outcomes(project, WAYS, signal.SIGTERM) == [("failed", "LostWorkerError")] * len(WAYS)
    assert sql("SELECT count(*) FROM jobs WHERE error_message NOT LIKE '%SIGTERM%'") == [(0,)]
    assert worker.poll() is None
    assert submit(project, "signalled.submit('none')").result(timeout=within(30)) == "garbage"


def test_a_job_that_interrupts_itself_fails(project: Project) -> None:
    project.worker("-c", "2")
    ways = [way for way in WAYS if way != "system"]  # C's system() ignores it
    assert outcomes(project, ways, signal.SIGINT) == [("failed", "KeyboardInterrupt")] * len(ways)


def test_an_interrupt_from_outside_disturbs_no_job(project: Project, tmp_path: Path) -> None:
    worker = project.worker("-c", "1")
    job = submit(project, f"listener.submit({str(tmp_path / 'saved')!r})")
    wait_until((tmp_path / "saved.began").exists)
    os.kill(row(job.id).pid or 0, signal.SIGINT)
    worker.terminate()
    wait_until(lambda: attempts(job.id))
    assert attempts(job.id)[0]["outcome"] == "released"
