"""Clusters of several sites, users and homes on one board: each is looked after only where it was started."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.board import clusters, engine
from simcelery.board.clusters import ClusterRow, NewCluster
from simcelery.cluster import controller, sites
from simcelery.cluster.profile import as_json, checked, from_json
from simcelery.schedulers.scheduler import own_name
from simcelery.settings import get_settings
from tests.board_helpers import sql
from tests.fakes.schedulers import FakeScheduler

pytestmark = pytest.mark.usefixtures("board")

LISTS = {"slurm": "squeue", "pbs": "qselect", "sge": "qstat"}


@pytest.fixture(params=["slurm", "pbs", "sge"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def site(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    """Log in to another site, with a scheduler of its own."""
    folder.mkdir()
    sites._silent.clear()
    return FakeScheduler(kind, folder, monkeypatch)


def start(launcher: str, owner: str | None = None) -> None:
    """Record a cluster, as `actions.start` does."""
    profile = checked(get_settings(), "c", {"launcher": launcher})
    new = NewCluster(
        name="c",
        launcher=launcher,
        host=socket.gethostname() if launcher == "local" else None,
        site=sites.site_of(controller.scheduler_of(get_settings(), profile), profile),
        owner=owner or own_name(),
        profile=as_json(profile),
        wanted=1,
        started_by="me",
    )
    with engine.begin() as connection:
        clusters.start(connection, new)
        clusters.hurry(connection, "c")


def row() -> ClusterRow:
    with engine.begin() as connection:
        [found] = clusters.listed(connection)
    return found


def test_a_cluster_is_looked_after_where_it_was_started_and_nowhere_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = site(kind, tmp_path / "there", monkeypatch)
    start(kind)
    assert controller.can_look_after(get_settings(), row())
    here = site(kind, tmp_path / "here", monkeypatch)
    assert not controller.can_look_after(get_settings(), row())
    controller.look_after(get_settings(), [row()])
    assert (here.jobs, there.jobs) == ([], [])
    assert LISTS[kind] not in {call["command"] for call in here.calls()}


def test_of_a_scheduler_that_does_not_answer_nobody_knows_whether_it_is_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks after its clusters must not leave, and must not act on those of others."""
    site("slurm", tmp_path / "there", monkeypatch)
    start("slurm")
    here = site("slurm", tmp_path / "here", monkeypatch)
    here.refuse("scontrol", "slurm_load_ctl_conf error: Unable to contact slurm controller")
    assert controller.can_look_after(get_settings(), row())
    controller.look_after(get_settings(), [row()])
    assert "Unable to contact slurm controller" in str(row().note)
    here.mood("scontrol")
    sql("UPDATE clusters SET round_at = now()")
    controller.look_after(get_settings(), [row()])
    assert {call["command"] for call in here.calls()} == {"scontrol"}
    assert not controller.can_look_after(get_settings(), row())


def test_a_name_that_many_have_says_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = checked(get_settings(), "c", {"launcher": "slurm"})
    for name, called in (("cluster", "cluster of ctl"), ("hal", "hal")):
        site("slurm", tmp_path / name, monkeypatch)
        assert sites.site_of(controller.scheduler_of(get_settings(), profile), profile) == called


def test_a_cluster_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site("slurm", tmp_path / "here", monkeypatch)
    start("slurm", owner="somebody-else")
    assert not controller.can_look_after(get_settings(), row())
    sql("UPDATE clusters SET owner = :me", me=own_name())
    assert controller.can_look_after(get_settings(), row())


def test_another_home_on_the_same_host_is_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("local")
    assert controller.can_look_after(get_settings(), row())
    other = replace(get_settings(), home=tmp_path / "other home")
    assert not controller.can_look_after(other, row())


def test_a_round_begins_with_what_is_true_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other clusters before it may have taken minutes."""
    here = site("slurm", tmp_path / "here", monkeypatch)
    start("slurm")
    before, settings = row(), get_settings()
    profile = from_json(before.profile)
    asked, looks = controller.scheduler_of(settings, profile), controller._Looks()
    for _ in range(2):
        controller._look(profile, asked, looks)
    assert len(here.calls("squeue")) == 1
    [(key, (at, seen))] = looks.items()
    looks[key] = at - 16, seen
    controller._look(profile, asked, looks)
    assert len(here.calls("squeue")) == 2
    sql("UPDATE clusters SET wanted = 3")
    now = controller._take_round(settings, before, 0.0)
    assert now is not None
    assert now.wanted == 3
