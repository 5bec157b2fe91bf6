"""A queue that is shared, with real workers."""

from __future__ import annotations

import simcelery
from simcelery.board import engine, transitions
from tests.board_helpers import new_job, sql
from tests.conftest import Project
from tests.waiting import wait_until


def test_a_colleagues_ten_jobs_do_not_wait_for_a_sweep(project: Project) -> None:
    assert project.run("simcelery", "share", "default", "--by", "submitter").returncode == 0
    try:
        with engine.begin() as connection:
            for who, count in (("ann@here", 5000), ("bob@there", 10)):
                parameters = {"path": str(project.folder / "ran"), "number": 1, "pause": 0.02}
                new = [
                    new_job(workflow="sims.brief", parameters=parameters, submitted_by=who)
                    for _ in range(count)
                ]
                transitions.record(connection, new)
        project.worker()
        project.worker()
        wait_until(lambda: _ended("bob") == 10, 60)
        assert _ended("ann") < 500, "they took turns"
        said = project.run("simcelery", "share")
        assert said.stdout.split() == ["QUEUE", "SHARED", "BY", "default", "submitter"]
        wait_until(lambda: _ended("ann") >= 30, 60)
        assert project.run("simcelery", "cancel", "-s", "pending", "-y").returncode == 0
    finally:
        assert project.run("simcelery", "share", "default", "--by", "nobody").returncode == 0
    assert "strict order" in project.run("simcelery", "share").stdout
    assert simcelery.jobs(state="failed").count() == 0


def _ended(who: str) -> int:
    like = f"{who}@%"
    found = sql("SELECT count(*) FROM jobs WHERE state = 'succeeded' AND submitted_by LIKE :who", who=like)
    return int(found[0][0])
