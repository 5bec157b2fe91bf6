"""A board with rows of every shape that cannot be read, and a real worker on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import simcelery
from simcelery.services import Services
from tests import hostile_rows
from tests.acceptance.helpers import executions, submit
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until, within

HONEST = 30


def honest_jobs(project: Project, path: Path, **given: object) -> list[simcelery.Job]:
    """Jobs that note that they ran."""
    words = "".join(f", {name}={value!r}" for name, value in given.items())
    done = project.python(f"""
        import sims
        jobs = sims.trace.submit_many([{{"path": {str(path)!r}}}] * {HONEST}{words})
        print(*[job.id for job in jobs])
    """)
    assert done.returncode == 0, done.stderr
    return [simcelery.get_job(int(number)) for number in done.stdout.split()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checks", ["in force again", "gone"])
def test_honest_jobs_finish_among_rows_that_cannot_be_read(
    project: Project, board: Services, tmp_path: Path, checks: str
) -> None:
    """In the lane of the honest ones, before and behind them; with CHECKs every change of a bad row fails."""
    before, behind, later = tmp_path / "before", tmp_path / "behind", tmp_path / "later"
    worker = project.worker("-c", "2")
    submit(project, "add.submit(1)").result(timeout=within(30))
    jobs = honest_jobs(project, before)
    mine = {
        "workflow": "'sims.trace'",
        "parameters": hostile_rows.parameters({"path": str(tmp_path / "none")}),
    }
    with hostile_rows.without_checks(board.database_url) as connection:
        for statement in hostile_rows.everything(**mine).values():
            connection.execute(statement.encode())
        if checks == "gone":
            jobs += honest_jobs(project, behind)
            wait_until(lambda: all(job.state == "succeeded" for job in jobs), 120, every=0.5)
    if checks != "gone":
        jobs += honest_jobs(project, behind)
    wait_until(lambda: all(job.state == "succeeded" for job in jobs), 120, every=0.5)
    assert (executions(before), executions(behind)) == (HONEST, HONEST)

    # The fleet's recovery goes on: what is scheduled is staged, what Redis lost is sent again.
    late = honest_jobs(project, later, delay=1)
    wait_until(lambda: all(job.state == "succeeded" for job in late), 120, every=0.5)
    assert worker.poll() is None, project.logs()
    logs = project.logs()
    assert "Traceback" not in logs, logs
    assert "the others go on" not in logs
    known = "workflow = 'sims.trace' AND priority BETWEEN 0 AND 9"  # of those that a worker knows
    waiting = f"SELECT id FROM jobs WHERE state = 'pending' AND {known}"
    wait_until(lambda: not sql(waiting), 120, every=1)
    unread = "FROM jobs WHERE parameters::text NOT LIKE '{%'"
    wait_until(lambda: not sql(f"SELECT {unread} AND error_type IS NULL"), 60)  # the last ones may still run
    for row in sql(f"SELECT id, error_type, error_message {unread}"):
        assert row.error_type == "UnreadableRowError", row
        assert "parameters" in row.error_message
    # One line for each row at most, beside Celery's own for each message.
    lines = [line for line in logs.splitlines() if re.search(r"WARNING|ERROR", line)]
    assert len(lines) <= len(hostile_rows.everything()), "\n".join(lines)


def test_a_job_whose_row_cannot_be_read_fails_at_once_and_says_why(project: Project, board: Services) -> None:
    project.worker("-c", "1")
    jobs = [submit(project, "add.submit(1)") for _ in range(2)]
    for job in jobs:
        job.result(timeout=within(30))
    with hostile_rows.without_checks(board.database_url):
        for text, limit in (("[1]", "NULL"), ('{"x": {"$float": "abc"}}', "NULL"), ('{"x": 1}', "'NaN'")):
            sql(
                "INSERT INTO jobs (task_id, workflow, parameters, state, queue, priority, max_attempts, "
                f"max_losses, submitted_by, time_limit, submitted_at) VALUES (gen_random_uuid(), 'sims.add', "
                f"CAST(:p AS jsonb), 'pending', 'default', 4, 3, 5, 'x', {limit}, now() - interval '1 h')",
                p=text,
            )
        ids = [row.id for row in sql("SELECT id FROM jobs ORDER BY id DESC LIMIT 3")]
        bad = [simcelery.get_job(number) for number in ids]
        wait_until(lambda: all(job.state == "failed" for job in bad), 60)
    for job in bad:
        row = job.row()
        assert (row.error_type, row.attempt) == ("UnreadableRowError", 1)
        assert "on the board" in str(row.error_message) or "cannot be read" in str(row.error_message)
    assert submit(project, "add.submit(2)").result(timeout=within(30)) == 3
