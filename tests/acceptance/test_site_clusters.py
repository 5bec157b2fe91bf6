"""Clusters through commands that take the part of Slurm, PBS and Grid Engine, and run the workers here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.helpers import controllers, executions
from tests.acceptance.test_clusters import cluster, listed, running, submit
from tests.board_helpers import row, sql, state
from tests.conftest import Project
from tests.fakes.schedulers import FakeScheduler
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

REFUSAL = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination"
AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


class Site:
    """A project on a host with the commands of a scheduler, which runs at once what is submitted."""

    def __init__(self, kind: str, fake: FakeScheduler, project: Project) -> None:
        self.kind, self.fake, self.project = kind, fake, project

    def start(self, wanted: int, *words: str) -> str:
        given = ("--on", self.kind, "--name", "c", "--walltime", "20m", *words)
        return cluster(self.project, "start", str(wanted), *given, "--worker", "-c 1")

    def shown(self) -> dict[str, Any]:
        return listed(self.project, "c")

    def submitted(self) -> list[str]:
        """The names of all batch jobs that the scheduler has got."""
        return [job["name"] for job in self.fake.jobs]

    def processes(self) -> list[psutil.Process]:
        """Those in the sessions of the batch jobs that still run: workers, and the shells before them."""
        sessions = {job["session"] for job in self.fake.jobs if "session" in job}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def looks(self, count: int) -> None:
        """Until the scheduler has been asked so many times more."""
        before = len(self.fake.calls("squeue"))

        def is_so() -> bool:
            self.hurry()
            return len(self.fake.calls("squeue")) >= before + count

        wait_until(is_so, 60, every=0.5)

    def fails(self, times: int) -> None:
        """Until so many allocations in a row were of no use."""
        wait_until(lambda: self.hurry() is None and self.shown()["failed"] == times, 60, every=0.5)

    def hurry(self) -> None:
        """Have the next round done now, not in some seconds."""
        sql("UPDATE clusters SET round_at = now()")

    def settles(self, wanted: int) -> None:
        """As often as it takes until so many run, each with a worker, and there are no others."""

        def is_so() -> bool:
            self.hurry()
            shown = self.shown()
            return shown["live"] == shown["running"] == len(running("c")) == wanted

        wait_until(is_so, 120, every=1.0)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    kind = getattr(request, "param", "slurm")
    fake = FakeScheduler(kind, tmp_path, monkeypatch)
    fake.run()
    project = request.getfixturevalue("project")  # whose programs find these commands first
    made = Site(kind, fake, project)
    yield made
    for command in ("sbatch", "squeue", "scancel", "sacct", "scontrol"):
        fake.mood(command)
    for (name,) in sql("SELECT name FROM clusters WHERE state <> 'stopped'"):
        project.run("simcelery", "cluster", "stop", name)
    left = made.processes()
    for process in left:
        process.kill()
    sql("UPDATE allocations SET state = 'ended', cause = 'gone', ended_at = now() WHERE ended_at IS NULL")
    wait_until(lambda: not controllers(project), 60)


@pytest.mark.parametrize("site", ["slurm", "pbs", "sge"], indirect=True)
def test_from_the_start_to_the_end(site: Site) -> None:
    said = site.start(2, "--cores", "1")
    assert f"cluster c on {site.kind}: 2 allocations, 2 wanted" in said
    jobs = [submit(site.project, "sims.add", f"a={number}") for number in range(4)]
    wait_until(lambda: {state(job) for job in jobs} == {"succeeded"}, 120)
    site.settles(2)
    shown = site.shown()
    assert (shown["state"], shown["failed"], shown["note"]) == ("active", 0, None)
    assert {one["workers"] for one in shown["allocations"]} == {1}
    assert {bool(one["scheduler_id"]) for one in shown["allocations"]} == {True}
    assert "ready. Queues:" in cluster(site.project, "logs", "c")
    cluster(site.project, "scale", "c", "1")
    site.settles(1)
    assert len(site.submitted()) == 2
    assert "cluster c is stopped: nothing of it is left" in cluster(site.project, "stop", "c", "--wait")
    wait_until(lambda: not site.processes(), 60)
    causes = {one["cause"] for one in site.shown()["allocations"]}
    assert causes == {"cancelled"}
    wait_until(lambda: not controllers(site.project), 60)


@pytest.mark.parametrize("site", ["slurm", "pbs", "sge"], indirect=True)
def test_an_allocation_that_dies_is_replaced_and_what_ran_there_goes_on_elsewhere(site: Site) -> None:
    site.start(1)
    site.settles(1)
    ran = site.project.folder / "ran"
    job = submit(site.project, "sims.trace", f"path={ran}", "pause=300")
    wait_until(lambda: state(job) == "running", 30)
    [one] = site.shown()["allocations"]
    processes = site.processes()
    assert len(processes) > 1
    for process in processes:
        process.kill()
    sql(
        "UPDATE jobs SET parameters = CAST(:quick AS jsonb) WHERE id = :id",
        quick=json.dumps({"path": str(ran), "pause": 0}),
        id=job,
    )
    wait_until(lambda: site.hurry() is None and row(job).losses == 1, 90, every=1.0)
    wait_until(lambda: site.hurry() is None and state(job) == "succeeded", 120, every=1.0)
    assert executions(ran) == 2
    ended = next(each for each in site.shown()["allocations"] if each["name"] == one["name"])
    assert ended["cause"] == "failed"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(
            {
                "deaf": True,
                "error": "sbatch: error: Batch job submission failed: Zero Bytes were "
                "transmitted or received",
                "code": 1,
                "once": True,
            },
            id="fails without doing it",
        ),
        pytest.param(
            {
                "mute": True,
                "error": "sbatch: error: Batch job submission failed: Socket timed out on "
                "send/recv operation",
                "code": 1,
                "once": True,
            },
            id="fails after it is done",
        ),
        pytest.param(
            {"before": "Welcome to the cluster!\nYour quota: 3\nJob 17 of yours has ended\n"},
            id="prints lines of the site",
        ),
        pytest.param({"mute": True, "once": True}, id="loses its reply"),
        pytest.param({"hangs": True, "mute": True, "once": True}, id="hangs"),
    ],
)
def test_as_many_as_are_wanted_whatever_sbatch_does(site: Site, odd: dict[str, Any]) -> None:
    site.fake.mood("sbatch", **odd)
    site.start(2)
    sql("UPDATE allocations SET seen_at = seen_at - interval '2 min'")  # so that it need not be waited for
    site.settles(2)
    names = {name for name, _ in running("c")}
    live = [job["name"] for job in site.fake.jobs if job["state"] == "RUNNING"]
    assert sorted(live) == sorted(names)
    # What has not arrived may have been a no.
    assert site.shown()["failed"] == ("deaf" in odd)
    cluster(site.project, "stop", "c", "--wait")
    wait_until(lambda: not site.processes(), 60)


def test_a_scheduler_that_answers_errors_for_a_while_changes_nothing(site: Site) -> None:
    site.start(2)
    site.settles(2)
    before = sorted(running("c"))
    for command in ("squeue", "sbatch", "sacct", "scancel", "scontrol"):
        site.fake.refuse(command, AWAY)
    job = submit(site.project, "sims.add", "a=1")
    wait_until(lambda: state(job) == "succeeded", 30)
    for _ in range(3):
        sql("UPDATE allocations SET seen_at = seen_at - interval '2 min'")
        site.looks(2)
    assert sorted(running("c")) == before
    shown = site.shown()
    assert (shown["live"], shown["running"], shown["failed"]) == (2, 2, 0)
    assert "Unable to contact slurm controller" in shown["note"]
    for words in (("status",), ("doctor",), ("cluster",)):
        done = site.project.run("simcelery", *words)
        assert "cluster c: squeue: " in done.stdout + done.stderr, words
    cluster(site.project, "scale", "c", "1")
    assert site.shown()["live"] == 2  # nobody could be told
    for command in ("squeue", "sbatch", "sacct", "scancel", "scontrol"):
        site.fake.mood(command)
    site.settles(1)
    assert site.shown()["note"] is None
    assert len(site.submitted()) == 2


def test_three_refusals_pause_it_and_one_probe_follows_each_pause(site: Site) -> None:
    site.fake.refuse("sbatch", REFUSAL)
    job = submit(site.project, "sims.add", "a=1")
    said = site.start(5)
    assert "Invalid account or account/partition combination" in said

    def is_paused() -> bool:
        site.hurry()
        sql("UPDATE clusters SET next_at = now() WHERE state = 'active'")
        return bool(site.shown()["state"] == "paused")

    wait_until(is_paused, 60, every=0.5)
    assert len(site.fake.calls("sbatch")) == 3
    for words in (("status",), ("doctor",), ("explain", str(job)), ("cluster",), ("cluster", "list", "c")):
        done = site.project.run("simcelery", *words)
        told = done.stdout + done.stderr
        assert "cluster c is paused, since 3 allocations in a row were of no use" in told, words
        assert "Invalid account" in told, words
        assert "simcelery cluster resume c" in told, words
    for pause, calls in ((120, 4), (240, 5)):
        sql("UPDATE clusters SET next_at = now()")
        site.fails(calls)
        [(left,)] = sql("SELECT extract(epoch FROM next_at - now())::float FROM clusters")
        assert pause / 2 < left <= pause
        site.looks(3)  # within the pause nothing is tried
        assert len(site.fake.calls("sbatch")) == calls
    site.fake.mood("sbatch")
    cluster(site.project, "resume", "c")
    site.settles(5)
    wait_until(lambda: state(job) == "succeeded", 60)
    assert site.shown()["failed"] == 0
