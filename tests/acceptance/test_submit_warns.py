"""``submit`` says in one line if no live worker could ever run a job, and none that a cluster starts."""

from __future__ import annotations

from typing import Any

import pytest

from simcelery.board import clusters, engine
from simcelery.board.clusters import NewCluster
from simcelery.cluster.profile import as_json, checked
from simcelery.settings import get_settings
from tests.board_helpers import sql, worker
from tests.conftest import Project

ASKS = {
    "a queue that nobody serves": (("-q", "gpu"), "no live worker serves its queue 'gpu'"),
    "more cores": (("--cores", "9"), "it asks for 9 cores, and no live worker has as much"),
    "more memory": (("--memory", "2G"), "it asks for memory 2.0 GiB, and no live worker has as much"),
    "more GPUs": (("--gpus", "2"), "it asks for 2 GPUs, and no live worker has as much"),
    "more time": (("--time-request", "2h"), "no allocation of default lasts longer than "),
}


def live(**about: Any) -> int:
    """A live worker with 8 cores and 1 GiB, whose allocation lasts an hour."""
    me = worker(workflows=["sims.add"])
    columns = {"cores": 8, "memory": 2**30, "gpus": [], **about}
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    sql(f"UPDATE workers SET ends_at = now() + interval '1 h', {changes} WHERE id = :id", id=me, **columns)
    return me


def said(project: Project, *words: str) -> str:
    done = project.run("simcelery", "submit", "-o", "quiet", "sims.add", "a=1", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().isdecimal()
    return done.stderr


def start(least: int | None = None, most: int | None = None, **about: Any) -> None:
    """A cluster on the board that wants allocations and has none yet, or may start some."""
    given = {
        "launcher": "slurm",
        "cores": 16,
        "memory": "64G",
        "gpus": 2,
        "worker": "-Q default,gpu",
        **about,
    }
    new = NewCluster(
        name="c",
        launcher="slurm",
        host=None,
        profile=as_json(checked(get_settings(), "c", given)),
        wanted=least or 0,
        least=least,
        most=most,
        started_by="me",
    )
    with engine.begin() as connection:
        clusters.start(connection, new)


@pytest.mark.parametrize("which", ASKS)
def test_what_no_live_worker_can_ever_run(which: str, project: Project) -> None:
    live()
    words, expected = ASKS[which]
    warned = said(project, *words)
    assert expected in warned
    assert "cannot run now: " in warned
    assert len(warned.splitlines()) == 1, warned
    assert said(project) == ""


def test_a_workflow_that_nobody_knows_and_workers_in_quarantine(project: Project) -> None:
    me = live()
    sql("UPDATE workers SET workflows = '{sims.other}' WHERE id = :id", id=me)
    assert "does not know its workflow sims.add" in said(project)
    sql("UPDATE workers SET workflows = '{sims.add}', quarantined_at = now() WHERE id = :id", id=me)
    assert "all workers that know its workflow are in quarantine" in said(project)


def test_nothing_is_said_while_there_is_no_worker_at_all(project: Project) -> None:
    for words, _ in ASKS.values():
        assert said(project, *words) == ""


@pytest.mark.parametrize("which", ASKS)
def test_nothing_is_said_if_a_cluster_would_start_a_worker_for_it(which: str, project: Project) -> None:
    live()
    start(least=0, most=5, walltime="4h")
    assert said(project, *ASKS[which][0]) == ""


@pytest.mark.parametrize("which", ASKS)
def test_something_is_if_its_workers_could_not_run_it_either(which: str, project: Project) -> None:
    live()
    start(least=0, most=5, walltime="30m", cores=8, memory="1G", gpus=1, worker="-Q default")
    assert ASKS[which][1] in said(project, *ASKS[which][0])


def test_a_cluster_that_has_all_that_it_may_have_or_is_stopped_starts_none(project: Project) -> None:
    live()
    start()
    assert "no live worker serves its queue 'gpu'" in said(project, "-q", "gpu")
    sql("UPDATE clusters SET wanted = 1")  # on its way
    assert said(project, "-q", "gpu") == ""
    sql("UPDATE clusters SET state = 'stopped', least = 0, most = 5")
    assert "no live worker serves its queue 'gpu'" in said(project, "-q", "gpu")


def test_of_many_jobs_there_is_one_line_and_none_of_what_is_there_already(project: Project) -> None:
    live()
    many = ("--grid", "a=1,2,3", "-q", "gpu", "--dedupe")
    done = project.run("simcelery", "submit", "sims.add", *many)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "no live worker serves its queue 'gpu'" in done.stderr
    assert project.run("simcelery", "submit", "sims.add", *many).stderr == ""
    later = project.run("simcelery", "submit", "sims.add", "a=9", "-q", "gpu", "--run-at", "+2h")
    assert (later.returncode, later.stderr) == (0, "")
