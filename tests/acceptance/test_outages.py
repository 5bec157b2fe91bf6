"""Postgres or Redis dies, at the worst lines or for long, and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from simcelery import services
from simcelery.settings import Settings
from tests.acceptance.helpers import LINES
from tests.conftest import Project
from tests.servers import Traps, all_succeeded, ask, executions, kill_server, outcomes, submit_traces
from tests.waiting import wait_until

SLEEP = 5.0


def outage(own: tuple[Settings, Project], server: str, traps: Traps, folder: Path, *, long: bool) -> None:
    """Kill a server when a process sleeps at every line; bring it back before, or after, they wake."""
    settings, project = own
    done = len(outcomes(settings))
    counts = [folder / f"count{i}" for i in range(12)]
    folder.mkdir()
    traps.set()
    submit_traces(project, counts)
    wait_until(traps.sprung)
    kill_server(settings, server)
    time.sleep(SLEEP + 1 if long else 0.5)
    services.up(settings)
    wait_until(lambda: all_succeeded(settings, done + 12), 60, every=0.3)
    # Whoever slept lives on, knows its claim, and needs nobody to run its job again.
    assert [executions(count) for count in counts] == [1] * 12
    assert outcomes(settings) == [["succeeded"]] * (done + 12)


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_a_server_killed_at_every_line_of_the_workers_costs_no_job_and_no_second_run(
    own: tuple[Settings, Project], tmp_path: Path, server: str
) -> None:
    traps = Traps(tmp_path / "once", tuple(LINES))
    worker = own[1].worker("-c", str(len(LINES)), **traps.environment(SLEEP))
    outage(own, server, traps, tmp_path / "short", long=False)
    outage(own, server, traps, tmp_path / "long", long=True)
    assert worker.poll() is None


def test_twenty_jobs_finish_while_postgres_is_away_for_three_leases_and_none_is_lost_or_run_twice(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    workers = [project.worker("-c", "10") for _ in range(2)]
    counts = [tmp_path / f"count{i}" for i in range(20)]
    submit_traces(project, counts, pause=5.0)
    wait_until(lambda: all(map(executions, counts)), 30)
    kill_server(settings, "postgres")
    time.sleep(15)
    assert len(list(settings.spool.glob("*.json"))) == 20
    services.up(settings)
    # Both leases lapsed long ago, and both workers see the other as lost: neither may judge yet.
    wait_until(lambda: all_succeeded(settings, 20), 60, every=0.3)
    assert [executions(count) for count in counts] == [1] * 20
    assert outcomes(settings) == [["succeeded"]] * 20
    assert {row["losses"] for row in ask(settings, "SELECT losses FROM jobs")} == {0}
    assert [worker.poll() for worker in workers] == [None, None]
    wait_until(lambda: not list(settings.spool.glob("*")))
