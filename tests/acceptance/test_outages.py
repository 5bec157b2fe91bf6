"""Postgres or Redis dies, at the worst lines or for long, and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from simcelery import services
from simcelery.settings import Settings
from tests import programs
from tests.acceptance.helpers import LINES
from tests.conftest import Project
from tests.servers import Traps, all_succeeded, ask, executions, kill_server, outcomes, submit_traces
from tests.waiting import wait_until, within

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


WAITING = {
    "wait": ["simcelery", "wait", "1"],
    "logs": ["simcelery", "logs", "1", "-f"],
    "watch": ["simcelery", "watch", "1", "--every", "1"],
    "Job.wait": ["python", "-c", "import simcelery; simcelery.get_job(1).wait()"],
    "as_completed": ["python", "-c", "import simcelery as s; list(s.as_completed([s.get_job(1)]))"],
    "log": ["python", "-c", "import simcelery; list(simcelery.get_job(1).log(follow=True))"],
    "Executor": [
        "python",
        "-c",
        "import simcelery, operator, sims, sys\n"
        "with simcelery.Executor() as e: e.submit(sims.speaks, [''], sys.argv[1]).result()",
    ],
}


def test_whoever_waits_for_a_job_waits_out_an_outage_of_postgres(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    project.worker()
    parts = f"sims.speaks.submit([''], {str(tmp_path)!r})"
    assert project.python(f"import sims; {parts}").returncode == 0
    wait_until(lambda: ask(settings, "SELECT state FROM jobs") == [{"state": "running"}])
    said = {name: tmp_path / f"said {name}" for name in WAITING}
    processes = {}
    for name, words in WAITING.items():
        with said[name].open("wb") as output:
            processes[name] = programs.start(
                [*words, *([str(tmp_path)] if name == "Executor" else [])],
                project.folder,
                project.environment,
                output,
            )
    # A submission waits for nobody; from its commit on, the Executor does.
    wait_until(lambda: ask(settings, "SELECT count(*) AS n FROM jobs") == [{"n": 2}], 60)
    looks: dict[str, set[str]] = {}

    def all_have_looked() -> bool:
        for row in ask(settings, "SELECT application_name AS name, query_start FROM pg_stat_activity"):
            looks.setdefault(str(row["name"]), set()).add(str(row["query_start"]))
        ours = [looks.get(f"simcelery {process.pid}", set()) for process in processes.values()]
        return all(len(found) > 2 for found in ours)

    wait_until(all_have_looked, 60)
    kill_server(settings, "postgres")
    away = "waiting until it answers again"
    wait_until(lambda: all(away in path.read_text() for path in said.values()), 30)
    time.sleep(2)
    services.up(settings)
    (tmp_path / "0").touch()
    codes = {name: process.wait(within(60)) for name, process in processes.items()}
    told = {name: path.read_text() for name, path in said.items()}
    assert codes == dict.fromkeys(WAITING, 0), told
    for text in told.values():
        assert text.count(away) == 1
        assert text.count("the board answers again") == 1


def test_who_waits_gives_up_at_the_timeout_and_at_once_where_the_board_was_never_there(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    assert project.python(f"import sims; sims.speaks.submit([''], {str(tmp_path)!r})").returncode == 0
    with (tmp_path / "said").open("wb") as output:
        words = ["simcelery", "wait", "1", "--timeout", "8s"]
        process = programs.start(words, project.folder, project.environment, output)
    looked = f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'simcelery {process.pid}'"
    wait_until(lambda: bool(ask(settings, looked)))
    time.sleep(1)
    kill_server(settings, "postgres")
    assert process.wait(within(20)) == 1
    assert "nobody knows whether the jobs have finished: the board at" in (tmp_path / "said").read_text()
    for words in (["simcelery", "wait", "1"], ["simcelery", "logs", "1", "-f"], ["simcelery", "watch"]):
        assert project.run(*words).returncode == 3
    services.up(settings)
