"""The process that looks after clusters: what ends it, and what does not."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from simcelery.board import clusters, engine
from simcelery.board.clusters import ClusterRow, NewCluster
from simcelery.cluster import actions, controller, rounds
from simcelery.cluster.environment import folder_of
from simcelery.cluster.profile import as_json, checked
from simcelery.errors import UsageError
from simcelery.setting_kinds import Secret
from simcelery.settings import get_settings
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until


@pytest.fixture
def cluster(project: Project) -> ClusterRow:
    """A cluster on this host that wants one, and that nobody looks after."""
    profile = as_json(checked(get_settings(), "here", {"launcher": "local"}))
    here = socket.gethostname()
    new = NewCluster(name="here", launcher="local", host=here, profile=profile, wanted=1, started_by="me")
    with engine.begin() as connection:
        clusters.start(connection, new)
    return row()


def row() -> ClusterRow:
    with engine.begin() as connection:
        [found] = clusters.listed(connection, "here")
    return found


def test_a_script_that_cannot_be_written_is_noted_and_nothing_is_left_to_submit(
    cluster: ClusterRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(get_settings(), "here")
    monkeypatch.setattr(rounds, "new_name", lambda _: "simcelery-here-1")
    (folder / "simcelery-here-1.sh").mkdir(parents=True)
    controller.look_after(get_settings(), [cluster])
    assert (row().note, row().live) == (f"cannot write {folder}: Is a directory", 0)


def test_a_round_that_fails_as_nobody_expects_is_noted(
    cluster: ClusterRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("of no use")

    monkeypatch.setattr(rounds, "do_round", fails)
    controller.look_after(get_settings(), [cluster])
    assert row().note == "its round has failed: ZeroDivisionError: of no use"
    monkeypatch.setattr(clusters, "note", fails)
    sql("UPDATE clusters SET round_at = now()")
    controller.look_after(get_settings(), [cluster])  # and is nothing that ends it


# Started by a worker; and where the home has no locks, so that there may be others on this host.
SPARE = {
    "of a worker": "controller.run(get_settings(), os.getppid())",
    "without locks": """
def flock(*_):
    raise OSError(errno.ENOLCK, "no locks available")
fcntl.flock = flock
controller.run(get_settings())
""",
}


@pytest.mark.parametrize("how", SPARE)
def test_a_spare_one_ends_while_others_look_after_the_clusters(
    project: Project, cluster: ClusterRow, how: str
) -> None:
    """As after a time without the board: a worker has started one, and then the real one was there again."""
    lines = [
        "import errno, fcntl, os",
        "from simcelery.cluster import controller",
        "from simcelery.settings import get_settings",
        "controller._SPARE_ENDS = 0.5",
        SPARE[how],
    ]
    others_have_it()
    spare = project.start_python("\n".join(lines))

    def ends() -> bool:
        others_have_it()
        return spare.poll() is not None

    wait_until(ends, 30)
    assert (spare.returncode, row().round_by, row().live) == (0, "another", 0)


def others_have_it() -> None:
    sql("UPDATE clusters SET round_at = now() + interval '2 s', round_by = 'another'")


def test_it_outlives_a_weekend_without_the_board(
    cluster: ClusterRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no worker lives, nobody would start another one."""
    now = [0.0]

    def sleep(_: float) -> None:
        now[0] += 6 * 3600.0
        if now[0] > 3 * 86400.0:
            raise Monday

    monkeypatch.setattr(controller, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    nowhere = replace(get_settings(), database_url=Secret("postgresql://me@127.0.0.1:1/none"))
    with pytest.raises(Monday):
        controller.run(nowhere)


class Monday(Exception):
    """The board would be there again."""


def test_it_has_the_flags_of_whoever_starts_it(project: Project, cluster: ClusterRow) -> None:
    """They are in no variable, and it must not look after the clusters of another home or board."""
    url, home = f"{project.environment['SIMCELERY_DATABASE_URL']}?application_name=flag", project.folder / "h"
    done = project.run(
        "simcelery", "--home", str(home), "--database-url", url, "cluster", "scale", "here", "0"
    )
    assert done.returncode == 0, done.stderr
    found = [one for one in processes() if one.environ().get("SIMCELERY_DATABASE_URL") == url]
    assert [one.environ()["SIMCELERY_HOME"] for one in found] == [str(home)]
    with engine.begin() as connection:
        clusters.stop(connection, "here")
    wait_until(lambda: not any(map(psutil.Process.is_running, found)), 30)


def gone(name: str = "here") -> None:
    """As if the cluster had run on another host, of which nobody has heard for long."""
    sql("UPDATE clusters SET name = :name, host = 'laptop', round_at = now() - interval '1 h'", name=name)
    sql(
        "INSERT INTO allocations (cluster, name, scheduler_id, state) "
        "VALUES (:name, 'simcelery-here-1', 'simcelery-here-1', 'running')",
        name=name,
    )


def test_a_cluster_whose_host_is_gone_is_stopped_from_anywhere_and_its_name_is_free(
    project: Project, cluster: ClusterRow
) -> None:
    gone()
    refused = project.run("simcelery", "cluster", "start", "0", "--on", "local", "--name", "here")
    assert refused.returncode == 2
    assert "there is a cluster 'here' already, on laptop: give yours another --name" in refused.stderr
    assert project.run("simcelery", "cluster", "stop", "here").returncode == 0
    assert sql("SELECT state, cause FROM allocations") == [("ended", "gone")]
    new = {name: getattr(cluster, name) for name in NewCluster.__dataclass_fields__}
    with engine.begin() as connection:
        clusters.start(connection, NewCluster(**new))


def test_workers_of_another_host_are_replaced_if_that_is_gone(
    cluster: ClusterRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container was made anew, with the same home: 'up --workers' said that there were workers."""
    monkeypatch.setattr(actions, "attend", actions.get)  # none is started
    gone("up")
    sql("UPDATE clusters SET round_at = now()")
    with pytest.raises(UsageError, match="cluster up runs on laptop: start workers here under another name"):
        actions.with_servers(get_settings(), 2, "me")
    sql("UPDATE clusters SET round_at = now() - interval '1 h'")
    started = actions.with_servers(get_settings(), 2, "me")
    assert (started.host, started.wanted, started.live) == (socket.gethostname(), 2, 0)


def test_its_log_does_not_grow_for_ever(cluster: ClusterRow, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_settings()
    sql("UPDATE clusters SET state = 'stopped'")
    log = controller._file(settings, "log")
    with log.open("ab", buffering=0) as output:  # as it is open in the process
        for word in (b"old", b"new"):
            output.write(word * 2**20)
            controller._serve(settings, None, is_spare=False)
        output.write(b"newest")
    assert log.read_bytes() == b"newest"
    kept = sum(len(path.read_bytes()) for path in log.parent.glob("controller-*"))
    assert kept == len(b"newest") + 3 * 2**20


def processes() -> list[psutil.Process]:
    return [
        one for one in psutil.process_iter(["cmdline"]) if "simcelery.cluster" in (one.info["cmdline"] or ())
    ]
