"""Workers near the end of their allocation, which begin only what they can finish."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.acceptance.helpers import submit, submit_each
from tests.board_helpers import attempts, row, sql
from tests.conftest import Project
from tests.waiting import wait_until, within


def test_a_worker_near_its_end_runs_what_fits_and_leaves_early(project: Project, tmp_path: Path) -> None:
    long = submit(project, f"trace.submit({str(tmp_path / 'long')!r}, time_request='1h', priority=9)")
    short = submit_each(project, "add.submit({})", range(5))
    worker = project.worker("-c", "1", "--walltime", "5m", SIMCELERY_SHUTDOWN_GRACE="1")
    assert worker.wait(within(60)) == 0
    assert "leaving early: jobs wait, but none of them would end before the allocation does" in project.logs()
    assert [job.result(timeout=0) for job in short] == [1, 2, 3, 4, 5]
    assert (row(long.id).state, attempts(long.id)) == ("pending", [])
    assert not (tmp_path / "long").exists()

    project.worker("-c", "1")
    assert long.result(timeout=within(30)) == "ran"
    assert [one["outcome"] for one in attempts(long.id)] == ["succeeded"]


def test_what_earlier_jobs_took_is_expected_of_the_next(project: Project, tmp_path: Path) -> None:
    endless = project.worker("-c", "5")
    jobs = submit_each(project, f"trace.submit({str(tmp_path / 'count')!r}, pause=7 + 0 * {{}})", range(5))
    assert [job.result(timeout=within(60)) for job in jobs] == ["ran"] * 5
    wait_until(lambda: sql("SELECT FROM durations WHERE workflow = 'sims.trace' AND p90 > 7"))
    endless.send_signal(signal.SIGTERM)
    assert endless.wait(within(30)) == 0

    next_one = submit(project, f"trace.submit({str(tmp_path / 'next')!r}, pause=7)")
    worker = project.worker("-c", "1", "--walltime", "12", SIMCELERY_SHUTDOWN_GRACE="1")
    assert worker.wait(within(60)) == 0
    assert "leaving early" in project.logs()
    assert (row(next_one.id).state, row(next_one.id).attempt) == ("pending", 0)


def test_a_code_that_goes_on_where_it_was_begins_in_any_allocation(project: Project) -> None:
    """Its time limit is longer than the allocation lasts; so is what another asks for, which waits."""
    project.worker("-c", "1", "--walltime", "10m")
    kept = submit(project, "shell_code.submit('true', time_request='1h')")
    goes_on = submit(project, "counts.submit(pause=0.0, time_limit='1h')")
    assert goes_on.wait(timeout=within(30))
    assert (str(goes_on.state), str(kept.state)) == ("succeeded", "pending")
