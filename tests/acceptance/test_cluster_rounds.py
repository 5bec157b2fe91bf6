"""Rounds of a cluster on this host, with real processes: as many as are wanted, whoever is killed when."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from simcelery.board import allocations, clusters, engine
from simcelery.board.allocations import AllocationRow
from simcelery.board.clusters import ClusterRow, NewCluster
from simcelery.cluster import controller, rounds
from simcelery.cluster.environment import folder_of
from simcelery.cluster.profile import as_json, checked
from simcelery.schedulers.asking import Unknown
from simcelery.schedulers.local import Local
from simcelery.settings import get_settings
from tests.board_helpers import record, sql
from tests.conftest import Project
from tests.waiting import wait_until

# What stands for a worker: it notes that it runs, and ends when it is told to.
STAND_IN = """#!/bin/sh
echo "$SIMCELERY_ALLOCATION" >> "$RAN"
exec sleep 120
"""


@pytest.fixture
def cluster(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(project, tmp_path)
    monkeypatch.setenv("RAN", str(made.ran))
    yield made
    for process in made.processes():
        process.kill()


class Cluster:
    """A cluster on this host."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.ran = folder / "ran"
        self.program = folder / "python"
        self.program.write_text(STAND_IN)
        self.program.chmod(0o755)

    def start(self, wanted: int, most: int | None = None) -> None:
        profile = {
            **as_json(checked(get_settings(), "here", {"launcher": "local"})),
            "python": str(self.program),
        }
        new = NewCluster(
            name="here",
            launcher="local",
            host=None,
            profile=profile,
            wanted=wanted,
            least=None if most is None else 0,
            most=most,
            started_by="me",
        )
        with engine.begin() as connection:
            clusters.start(connection, new)

    def row(self) -> ClusterRow:
        with engine.begin() as connection:
            [row] = clusters.listed(connection, "here")
        return row

    def round(self) -> None:
        settings = get_settings()
        rounds.do_round(self.row(), Local(folder_of(settings, "here"), grace=1.0), settings)

    def round_elsewhere(self, killed_at: str) -> int:
        """In a process that is killed at a line."""
        done = self.project.python(
            """
            from pathlib import Path
            from simcelery.board import clusters, engine
            from simcelery.cluster import rounds
            from simcelery.cluster.environment import folder_of
            from simcelery.schedulers.local import Local
            from simcelery.settings import get_settings
            settings = get_settings()
            with engine.begin() as connection:
                [row] = clusters.listed(connection, "here")
            rounds.do_round(row, Local(folder_of(settings, "here"), grace=1.0), settings)
            """,
            SIMCELERY_FAILPOINTS=f"{killed_at}=kill",
            RAN=str(self.ran),
        )
        return done.returncode

    def allocations(self) -> list[AllocationRow]:
        with engine.begin() as connection:
            return allocations.listed(connection, "here", ended_within=3600.0)

    def states(self) -> list[str]:
        return [row.state for row in self.allocations()]

    def processes(self) -> list[psutil.Process]:
        """The stand-ins that run."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                if process.info["cmdline"] == ["sleep", "120"] and process.environ().get("RAN") == str(
                    self.ran
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def settles(self, wanted: int) -> None:
        """As often as it takes until so many run, and no others."""

        def is_so() -> bool:
            self.round()
            sql("UPDATE allocations SET seen_at = seen_at - interval '61 s' WHERE missed >= 3")
            return self.states().count("running") == wanted == len(self.processes()) == self.row().live

        wait_until(is_so, 40)

    def ever_ran(self) -> list[str]:
        return self.ran.read_text().split() if self.ran.exists() else []


def test_as_many_run_as_are_wanted(cluster: Cluster) -> None:
    cluster.start(3)
    cluster.settles(3)
    with engine.begin() as connection:
        clusters.scale(connection, "here", 1)
    cluster.settles(1)
    [one] = cluster.processes()
    one.send_signal(signal.SIGKILL)
    wait_until(lambda: cluster.round() is None and cluster.row().failed == 1, 20)
    sql("UPDATE clusters SET next_at = now()")
    cluster.settles(1)
    with engine.begin() as connection:
        clusters.stop(connection, "here")
    cluster.settles(0)
    assert [row.cause for row in cluster.allocations()].count("cancelled") == 3
    assert len(cluster.ever_ran()) == len(set(cluster.ever_ran())) == 4


@pytest.mark.parametrize(
    "line",
    [
        "allocations_recorded",
        "allocation_may_be_submitted",
        "local_intended",
        "local_started",
        "allocation_submitted",
    ],
)
def test_whoever_is_killed_while_it_submits_leaves_none_too_many(cluster: Cluster, line: str) -> None:
    cluster.start(2)
    assert cluster.round_elsewhere(line) == -signal.SIGKILL
    cluster.settles(2)
    ran = cluster.ever_ran()
    assert len(ran) == len(set(ran)) == 2
    live = {row.name for row in cluster.allocations() if row.state == "running"}
    assert live == set(ran)


def test_whoever_is_killed_before_it_cancels_has_cancelled_nothing_for_good(cluster: Cluster) -> None:
    cluster.start(2)
    cluster.settles(2)
    with engine.begin() as connection:
        clusters.stop(connection, "here")
    assert cluster.round_elsewhere("allocations_to_cancel") == -signal.SIGKILL
    assert len(cluster.processes()) == 2
    cluster.settles(0)


def test_three_that_die_pause_it_with_their_last_words(cluster: Cluster) -> None:
    cluster.program.write_text("#!/bin/sh\necho no module named celery; exit 3\n")
    cluster.start(1)
    for number in range(1, 4):
        sql("UPDATE clusters SET next_at = now()")
        wait_until(lambda number=number: cluster.round() is None and cluster.row().failed == number, 20)
    row = cluster.row()
    assert (row.state, row.live) == ("paused", 0)
    assert "exit code 3" in str(row.note)
    cluster.round()
    assert {one.tail for one in cluster.allocations()} == {"no module named celery"}
    assert len(cluster.allocations()) == 3
    cluster.program.write_text(STAND_IN)
    with engine.begin() as connection:
        clusters.resume(connection, "here")
    cluster.settles(1)


def test_a_scheduler_that_does_not_answer_changes_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start(2)
    cluster.settles(2)
    before = [row._replace(seen_at=None) for row in cluster.allocations()]

    def answers(self: Local) -> list[object]:
        raise Unknown("local: it is away")

    with monkeypatch.context() as away:
        away.setattr(Local, "look", answers)
        for _ in range(5):
            with pytest.raises(Unknown):
                cluster.round()
    assert [row._replace(seen_at=None) for row in cluster.allocations()] == before
    assert len(cluster.processes()) == 2


def test_a_reply_that_is_lost_leaves_no_orphan(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = Local.submit

    def loses(self: Local, request: object) -> str:
        submit(self, request)
        raise Unknown("local: no answer within 30 s")

    cluster.start(1)
    with monkeypatch.context() as lost:
        lost.setattr(Local, "submit", loses)
        with pytest.raises(Unknown, match="may have been submitted, or not: local: no answer"):
            cluster.round()
    assert cluster.states() == ["submitting"]
    cluster.settles(1)
    assert len(cluster.ever_ran()) == 1
    assert os.path.exists(folder_of(get_settings(), "here") / f"{cluster.ever_ran()[0]}.sh")


def test_one_that_follows_the_work_says_why_it_starts_nobody_for_it(cluster: Cluster) -> None:
    cluster.start(0, most=2)
    record()
    sql("UPDATE jobs SET submitted_at = now() - interval '1 min'")
    sql(
        "INSERT INTO allocations (cluster, name, state, cause, starts_at, ended_at) "
        "SELECT 'here', 'simcelery-here-' || n, 'ended', 'finished', now() - interval '1 min', now() "
        "FROM generate_series(1, 2) AS n"
    )
    controller.look_after(get_settings(), [cluster.row()])
    assert "left without a job" in (cluster.row().note or "")
    assert cluster.row().live == 0
    sql("DELETE FROM jobs")  # nothing waits any more
    sql("UPDATE clusters SET round_at = now()")
    controller.look_after(get_settings(), [cluster.row()])
    assert cluster.row().note is None
