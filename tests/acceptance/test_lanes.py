"""Several projects on the same servers and queue: no worker takes a message that it cannot run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import simcelery
from simcelery.services import Services
from tests.acceptance.helpers import submit
from tests.board_helpers import attempts, sql
from tests.conftest import Project
from tests.waiting import wait_until, within

THEIRS = """
import time
from simcelery import workflow

@workflow
def nap(number: int) -> int:
    time.sleep(0.05)
    return number
"""


def another(project: Project, folder: Path, module: str) -> Project:
    """A second project with the same servers, home and queue, and workflows of its own."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(THEIRS)
    (folder / "simcelery.toml").write_text(f'workflows = ["{module}"]\n')
    return Project(folder, dict(project.environment), [])


@pytest.fixture
def pair(board: Services, project: Project, tmp_path: Path) -> Iterator[tuple[Project, Project]]:
    """Two projects that know nothing of each other."""
    made = [another(project, tmp_path / name, name) for name in ("ours", "theirs")]
    yield made[0], made[1]
    for one in made:
        one.end()


def warnings(project: Project) -> list[str]:
    """What its workers warned of, but for Celery's advice to leave root alone."""
    return re.findall(r"^\[[^]]*(?:WARNING|ERROR|CRITICAL)[^]]*\].*", project.logs(), re.MULTILINE)


def submitted(project: Project, number: int) -> None:
    module = project.folder.name
    done = project.python(
        f"import {module}; {module}.nap.submit_many({{'number': n}} for n in range({number}))"
    )
    assert done.returncode == 0, done.stderr


def share_at_work(workflow: str) -> float:
    """Of the time from the first start to the last end, the part in which one of its jobs ran.

    Unlike jobs per second it hardly depends on what else the machine does: that makes jobs longer, too.
    """
    [(worked, took)] = sql(
        "SELECT sum(finished_at - started_at), max(finished_at) - min(started_at) FROM jobs"
        " WHERE workflow = :workflow AND state = 'succeeded'",
        workflow=workflow,
    )
    return float(worked / took)


def all_done(number: int) -> bool:
    return bool(sql("SELECT count(*) FROM jobs WHERE state = 'succeeded'")[0][0] == number)


def test_two_projects_on_one_home_are_as_fast_as_one_alone_and_warn_of_nothing(
    pair: tuple[Project, Project],
) -> None:
    ours, theirs = pair
    ours.worker("-c", "1")
    submitted(ours, 200)
    wait_until(lambda: all_done(200), 60)
    alone = share_at_work("ours.nap")
    sql("TRUNCATE jobs CASCADE")
    theirs.worker("-c", "1")
    submitted(ours, 500)
    submitted(theirs, 500)
    wait_until(lambda: all_done(1000), 120)
    assert min(share_at_work("ours.nap"), share_at_work("theirs.nap")) > 0.8 * alone
    assert warnings(ours) == warnings(theirs) == []
    assert sql("SELECT count(*), max(attempt) FROM jobs") == [(1000, 1)]
    ran_by = sql("SELECT count(DISTINCT (workflow, a.worker_id)) FROM jobs JOIN attempts a ON job_id = id")
    assert ran_by == [(2,)]


def test_a_backlog_of_another_project_neither_stops_nor_ends_a_worker(
    pair: tuple[Project, Project],
) -> None:
    ours, theirs = pair
    submitted(theirs, 12_000)  # nobody runs them
    worker = ours.worker("-c", "1")
    submitted(ours, 1)
    wait_until(lambda: all_done(1))
    time.sleep(12)  # two looks of a worker that is idle while messages of others wait
    submitted(ours, 20)
    wait_until(lambda: all_done(21))
    assert worker.poll() is None
    assert warnings(ours) == []
    drained = ours.run("celery", "-A", "simcelery", "worker", "-c", "1", "-n", "drain@%h", "--drain")
    assert drained.returncode == 0, drained.stderr


def test_a_job_whose_workflow_nobody_knows_waits_for_one_that_does(
    project: Project, pair: tuple[Project, Project]
) -> None:
    _, theirs = pair
    theirs.worker("-c", "1")
    job = submit(project, "add.submit(1)")
    module = theirs.folder.name
    done = theirs.python(f"import {module}; print({module}.nap.submit(number=1).result(timeout=20))")
    assert done.stdout == "1\n"
    assert job.state == "pending"
    said = project.run("simcelery", "explain", str(job.id)).stdout
    assert "not know its workflow sims.add" in said
    assert "does not know" not in theirs.logs()
    project.worker("-c", "1")
    assert job.result(timeout=within(30)) == 2
    assert len(attempts(job.id)) == 1


def test_a_worker_with_queues_serves_all_its_workflows_in_these_and_no_others(project: Project) -> None:
    project.worker("-c", "1", "-Q", "gpu,a:b")
    served = [submit(project, f"add.submit({n}, queue={queue!r})") for n, queue in enumerate(("gpu", "a:b"))]
    elsewhere = submit(project, "add.submit(5)")
    assert [job.result(timeout=within(20)) for job in served] == [1, 2]
    assert elsewhere.state == "pending"
    assert sql("SELECT queues FROM workers") == [(["a:b", "gpu"],)]
    assert simcelery.get_job(elsewhere.id).attempts() == []
