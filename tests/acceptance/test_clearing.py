"""What allocations leave in the home is removed long after their end, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simcelery.board import clusters, engine
from simcelery.board.clusters import NewCluster
from simcelery.cluster import clearing
from simcelery.cluster.clearing import clear
from simcelery.cluster.environment import folder_of
from simcelery.settings import Settings, get_settings
from tests.acceptance.helpers import controllers
from tests.acceptance.test_clusters import cluster
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until

WEEK = 7 * 86_400.0
KINDS = ("json", "begun", "exit", "sh", "out")


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    request.getfixturevalue("board")
    new = NewCluster(name="c", launcher="local", host=None, profile={}, wanted=0, started_by="me")
    with engine.begin() as connection:
        clusters.start(connection, new)
    return replace(get_settings(), home=tmp_path)


def ended(folder: Path, number: int, cause: str | None, ago: float, of: str = "c") -> str:
    """An allocation that ended so many seconds ago, with its files; without a cause, it has not."""
    name = f"simcelery-{of}-{number:08x}"
    state = "running" if cause is None else "ended"
    sql(
        "INSERT INTO allocations (cluster, name, state, cause, ended_at) VALUES (:of, :name, :state, :cause, "
        "CASE WHEN :state = 'ended' THEN now() - make_interval(secs => :ago) END)",
        of=of, name=name, state=state, cause=cause, ago=ago,
    )  # fmt: skip
    write(folder, name)
    return name


def write(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / f"{name}.{kind}").write_text("x")


def left(folder: Path, name: str) -> set[str]:
    return {kind for kind in KINDS if (folder / f"{name}.{kind}").exists()}


def test_all_of_what_ended_long_ago_but_the_output_of_what_failed(settings: Settings) -> None:
    folder = folder_of(settings, "c")
    old = [
        ended(folder, n, cause, WEEK + 60) for n, cause in enumerate(("finished", "cancelled", "walltime"))
    ]
    failed = [
        ended(folder, 10 + n, cause, WEEK + 60) for n, cause in enumerate(("failed", "refused", "gone"))
    ]
    recent = [ended(folder, 20 + n, cause, WEEK - 60) for n, cause in enumerate(("finished", "failed"))]
    runs = ended(folder, 30, None, 0)
    assert clear("c", settings) == 6
    assert [left(folder, name) for name in old] == [set()] * 3
    assert [left(folder, name) for name in failed] == [{"out"}] * 3
    assert [left(folder, name) for name in (*recent, runs)] == [set(KINDS)] * 3
    assert clear("c", settings) == 0


def test_with_a_retention_all_of_it_goes_then(settings: Settings) -> None:
    folder = folder_of(settings, "c")
    settings = replace(settings, retention=86_400.0)
    old = [ended(folder, n, cause, 86_460) for n, cause in enumerate(("finished", "failed"))]
    gone = ended(folder, 5, "gone", 86_460)  # which may turn out to live for a week
    recent = ended(folder, 6, "failed", 86_340)
    assert clear("c", settings) == 2
    assert [left(folder, name) for name in old] == [set()] * 2
    assert left(folder, gone) == left(folder, recent) == set(KINDS)
    settings = replace(settings, retention=1.0)  # what is listed stays
    listed = ended(folder, 7, "finished", 3000)
    clear("c", settings)
    assert left(folder, listed) == set(KINDS)


def test_what_the_board_does_not_know_stays(settings: Settings) -> None:
    folder = folder_of(settings, "c")
    strangers = ("simcelery-c-0000000z", "simcelery-d-00000001", "simcelery-c-00000002", "settings")
    for name in strangers:
        write(folder, name)
    assert clear("c", settings) == 0
    assert [left(folder, name) for name in strangers] == [set(KINDS)] * 4
    assert clear("none", settings) == 0


def test_only_so_many_each_time_and_whoever_dies_meanwhile_has_lost_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(settings, "c")
    names = [ended(folder, number, "finished", WEEK + 60) for number in range(5)]
    monkeypatch.setattr(clearing, "_AT_ONCE", 2)
    (folder / f"{names[0]}.json").unlink()  # somebody was killed then
    assert [clear("c", settings) for _ in range(4)] == [2, 2, 1, 0]
    assert all(left(folder, name) == set() for name in names)


def test_whoever_looks_after_clusters_does_it(project: Project) -> None:
    sql(
        "INSERT INTO clusters (name, launcher, profile, wanted, state, started_by) "
        "VALUES ('c', 'local', '{}', 0, 'stopped', 'me')"
    )
    folder = folder_of(get_settings(), "c")
    name = ended(folder, 1, "finished", WEEK + 60)
    cluster(project, "start", "0", "--on", "local", "--name", "c")
    wait_until(lambda: left(folder, name) == set(), 60)
    cluster(project, "stop", "c")
    wait_until(lambda: not controllers(project), 60)
