"""How many connections to Postgres a worker holds."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.acceptance.helpers import executions
from tests.board_helpers import sql, state
from tests.conftest import Project
from tests.waiting import wait_until


def connections(worker: int) -> int:
    """Those of a worker and of its pool children."""
    names = [
        f"simcelery {pid}" for pid in (worker, *(child.pid for child in psutil.Process(worker).children()))
    ]
    return int(
        sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(:names)", names=names)[0][0]
    )


def test_a_worker_whose_children_run_long_jobs_holds_one_connection(project: Project, tmp_path: Path) -> None:
    counts = [tmp_path / f"count{i}" for i in range(3)]
    code = "".join(f"; sims.trace.submit({str(count)!r}, pause=12)" for count in counts)
    assert project.python(f"import sims{code}").returncode == 0
    worker = project.worker("-c", "3")
    wait_until(lambda: all(map(executions, counts)))
    wait_until(lambda: connections(worker.pid) <= 1, 8)
    wait_until(lambda: [state(number) for (number,) in sql("SELECT id FROM jobs")] == ["succeeded"] * 3)
