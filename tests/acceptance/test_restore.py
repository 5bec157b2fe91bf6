"""The board is restored from a backup of before the workers came: their ids are given out again."""

from __future__ import annotations

import re
from pathlib import Path

from simcelery import Job
from simcelery.board import engine
from tests.acceptance.helpers import executions, submit
from tests.board_helpers import attempts, sql, state
from tests.conftest import Project
from tests.servers import postgres_tool
from tests.waiting import wait_until, within


def restore(url: str, dump: str) -> None:
    """In one transaction; where it and the workers lock each other out, Postgres may give up either."""
    for attempt in range(5):
        try:
            postgres_tool("pg_restore", "--clean", "--if-exists", "--single-transaction", "-d", url, dump)
        except AssertionError as error:
            if attempt == 4 or "deadlock" not in str(error):
                raise
        else:
            return


def test_a_worker_whose_id_another_one_has_ends_and_no_job_is_lost(project: Project, tmp_path: Path) -> None:
    """The first worker hears of the restore late: meanwhile both live with the same id, and with jobs."""
    url, dump = project.environment["SIMCELERY_DATABASE_URL"], str(tmp_path / "dump")
    counts = [tmp_path / f"count{number}" for number in range(6)]
    jobs: list[Job] = [submit(project, f"trace.submit({str(count)!r}, pause=3.0)") for count in counts]
    sql("ALTER SEQUENCE workers_id_seq RESTART WITH 7000")
    postgres_tool("pg_dump", "-Fc", "-f", dump, url)

    first = project.worker("-c", "2", SIMCELERY_RENEW_EVERY="20", SIMCELERY_LEASE="60")
    wait_until(lambda: sum(executions(count) for count in counts) == 2)
    before = sql("SELECT id, registration FROM workers")
    engine.dispose()
    restore(url, dump)
    assert sql("SELECT count(*) FROM workers") == [(0,)]
    second = project.worker("-c", "2")
    [(number, key)] = sql("SELECT id, registration FROM workers")
    assert number == before[0][0]
    assert key != before[0][1]

    wait_until(lambda: first.poll() is not None, 90)
    assert first.returncode == 1
    log = (project.folder / "worker0.log").read_text()
    assert len(re.findall("the board no longer knows this worker.*restart it", log)) == 1
    for job in jobs:
        assert job.result(timeout=within(90)) == "ran"
    for job in jobs:
        assert [one["outcome"] for one in attempts(job.id)] == ["succeeded"]
    assert second.poll() is None
    assert sql("SELECT id, ended_at FROM workers") == [(number, None)]
    assert [state(job.id) for job in jobs] == ["succeeded"] * 6
