"""Nodes on which everything fails are left out by what a cluster submits next, as the commands are called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.helpers import controllers
from tests.acceptance.test_clusters import cluster
from tests.board_helpers import sql, worker
from tests.conftest import Project
from tests.fakes.schedulers import FakeScheduler
from tests.waiting import wait_until

NOTE = "in quarantine: its last 5 jobs failed within seconds, while others succeed"


class Site:
    """A project on a host with the commands of a scheduler, that has two nodes, n1 and n2."""

    def __init__(self, kind: str, fake: FakeScheduler, project: Project) -> None:
        self.kind, self.fake, self.project = kind, fake, project

    def cluster(self, *words: str) -> str:
        return cluster(self.project, *words)

    def shown(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.cluster("list", "-o", "json"))
        return found

    def excluded(self) -> list[str]:
        """What the submissions were asked to leave out; an empty text: nothing."""
        command = "sbatch" if self.kind == "slurm" else "qsub"
        return [
            next((one for one in call["arguments"] if one.startswith(("--exclude=", "hostname="))), "")
            for call in self.fake.calls(command)
        ]

    def doctor(self) -> str:
        return self.project.run("simcelery", "doctor").stdout


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    kind = getattr(request, "param", "slurm")
    fake = FakeScheduler(kind, tmp_path, monkeypatch)
    project = request.getfixturevalue("project")  # whose programs find these commands first
    yield Site(kind, fake, project)
    for (name,) in sql("SELECT name FROM clusters WHERE state <> 'stopped'"):
        project.run("simcelery", "cluster", "stop", name)
    sql("UPDATE allocations SET state = 'ended', cause = 'gone', ended_at = now() WHERE ended_at IS NULL")
    wait_until(lambda: not controllers(project), 60)


def bad(host: str, ended: bool = True) -> None:
    """A worker of this host that was in quarantine when it was last heard of."""
    me = worker(host=host)
    changed = "quarantined_at = now(), note = :note" + (", ended_at = now()" if ended else "")
    sql(f"UPDATE workers SET {changed} WHERE id = :id", note=NOTE, id=me)


def test_slurm_is_asked_for_others_and_everybody_is_told(site: Site) -> None:
    bad("n2.site.org")
    said = site.cluster("start", "1", "--on", "slurm", "--name", "gpu", "--dry-run")
    assert "cluster gpu leaves out n2 until " in said
    assert "--exclude=n2" in said
    started = site.cluster("start", "2", "--on", "slurm", "--name", "gpu")
    assert site.excluded() == ["--exclude=n2"] * 3
    for said in (started, site.cluster(), site.cluster("list", "gpu"), site.doctor()):
        assert "cluster gpu leaves out n2 until " in said, said
        assert "its last 5 jobs failed within seconds" in said, said
        assert "simcelery cluster resume gpu" in said, said
    [shown] = site.shown()
    assert [(one["name"], one["host"]) for one in shown["bad_nodes"]] == [("n2", "n2.site.org")]
    assert shown["bad_nodes_kept"] is None
    site.cluster("resume", "gpu")
    site.cluster("scale", "gpu", "3")
    assert site.excluded()[3:] == [""]
    assert "leaves out" not in site.doctor()


def test_the_end_of_a_quarantine_and_a_day_are_the_end_of_it(site: Site) -> None:
    bad("n2", ended=False)
    site.cluster("start", "1", "--on", "slurm", "--name", "gpu")
    site.cluster("resume", "gpu")  # its worker is still there
    assert "leaves out n2" in site.cluster()
    sql("UPDATE workers SET quarantined_at = NULL")
    site.cluster("scale", "gpu", "2")
    assert site.excluded() == ["--exclude=n2", ""]
    assert "leaves out" not in site.cluster()


def test_never_the_last_node_and_it_says_so(site: Site) -> None:
    bad("n1")
    bad("n2")
    started = site.cluster("start", "1", "--on", "slurm", "--name", "gpu")
    assert site.excluded() == [""]
    for said in (started, site.cluster(), site.doctor()):
        assert "cluster gpu does not leave out n1" in said, said
        assert "no node of its partition would be left" in said, said


def test_a_scheduler_that_takes_it_only_with_all_nodes_gets_it_so(site: Site) -> None:
    """Of all nodes, perhaps only the bad one has the GPU that is asked for."""
    bad("n2")
    refusal = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    site.fake.refuse("sbatch", refusal, only="--exclude=n2")
    site.cluster("start", "1", "--on", "slurm", "--name", "gpu")
    assert site.excluded() == ["--exclude=n2", ""]
    assert [job["state"] for job in site.fake.jobs] == ["PENDING"]
    site.cluster("scale", "gpu", "2")
    assert site.excluded() == ["--exclude=n2", "", ""]
    assert "does not leave out n2" in site.cluster()
    assert "Requested node configuration is not available" in site.cluster()
    assert site.shown()[0]["failed"] == 0


def test_a_scheduler_that_does_not_say_which_nodes_there_are_keeps_nobody_from_running(site: Site) -> None:
    bad("n2")
    site.fake.refuse("sinfo", "slurm_load_partitions: Unable to contact slurm controller")
    site.cluster("start", "1", "--on", "slurm", "--name", "gpu")
    assert site.excluded() == [""]
    assert site.shown()[0]["live"] == 1


@pytest.mark.parametrize("site", ["pbs", "sge"], indirect=True)
def test_where_it_has_run_is_known_from_its_own_allocations(site: Site) -> None:
    site.cluster("start", "0", "--on", site.kind, "--name", "gpu")
    bad("n2.site.org")
    sql(
        "INSERT INTO allocations (cluster, name, state, cause, ended_at, hosts) "
        "VALUES ('gpu', 'x', 'ended', 'finished', now(), '{n1,n2}')"
    )
    site.cluster("scale", "gpu", "1")
    if site.kind == "sge":
        assert site.excluded() == ["hostname=!n2"]
        assert "cluster gpu leaves out n2 until " in site.doctor()
    else:
        assert site.excluded() == [""]
        assert "cluster gpu does not leave out n2" in site.doctor()
        assert "PBS has no option for it" in site.doctor()
