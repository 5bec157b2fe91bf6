"""Clusters as people start them: on this host, with real workers and the process that looks after them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import pytest

from simcelery.schedulers.scheduler import own_name
from simcelery.services import Services
from tests import hostile_rows, programs
from tests.acceptance.helpers import controllers
from tests.board_helpers import row, sql, state
from tests.conftest import Project
from tests.waiting import wait_until, within


@pytest.fixture
def here(project: Project) -> Iterator[Project]:
    """A project whose clusters end with the test."""
    yield project
    for name in [name for (name,) in sql("SELECT name FROM clusters WHERE state <> 'stopped'")]:
        project.run("simcelery", "cluster", "stop", name)
    wait_until(lambda: sql("SELECT count(*) FROM allocations WHERE state <> 'ended'") == [(0,)], 60)
    wait_until(lambda: not controllers(project), 30)


def cluster(project: Project, *words: str) -> str:
    done = project.run("simcelery", "cluster", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def listed(project: Project, name: str) -> dict[str, Any]:
    [found] = json.loads(cluster(project, "list", name, "-o", "json"))
    return dict(found)


def running(name: str) -> list[tuple[str, int]]:
    """The live workers of a cluster, by allocation, with their pids."""
    return [
        (allocation, pid)
        for allocation, pid in sql(
            """
            SELECT workers.allocation, workers.pid FROM workers JOIN allocations ON name = workers.allocation
            WHERE cluster = :name AND workers.ended_at IS NULL AND allocations.state = 'running'
            AND lease_expires_at > now()
            """,
            name=name,
        )
    ]


def submit(project: Project, *words: str) -> int:
    done = project.run("simcelery", "submit", "-o", "quiet", *words)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


def test_as_many_workers_as_are_wanted_whatever_dies(here: Project) -> None:
    said = cluster(here, "start", "2", "--on", "local", "--name", "mine", "--", "-c", "1")
    assert "cluster mine on local: 2 allocations, 2 wanted" in said
    wait_until(lambda: len(running("mine")) == 2, 60)
    job = submit(here, "sims.add", "a=1")
    wait_until(lambda: state(job) == "succeeded", 30)
    killed, pid = running("mine")[0]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(names := dict(running("mine"))) == 2 and killed not in names, 90)
    cluster(here, "scale", "mine", "1")
    wait_until(lambda: sql("SELECT count(*) FROM allocations WHERE state <> 'ended'") == [(1,)], 60)
    shown = listed(here, "mine")
    assert (shown["wanted"], shown["running"], shown["state"], shown["launcher"]) == (1, 1, "active", "local")
    assert shown["site"].endswith("/clusters/mine")
    assert shown["owner"] == own_name()
    ended = [one["cause"] for one in shown["allocations"] if one["state"] == "ended"]
    assert sorted(ended) == ["cancelled", "failed"]
    assert "ready. Queues:" in cluster(here, "logs", "mine")
    assert "cluster mine is stopped: nothing of it is left" in cluster(here, "stop", "mine", "--wait")
    assert running("mine") == []
    assert "there is no cluster" in cluster(here, "list")


def test_a_controller_that_dies_is_replaced_by_a_worker_and_ends_with_it(here: Project) -> None:
    cluster(here, "start", "1", "--on", "local", "--", "-c", "1")
    wait_until(lambda: len(running("local")) == 1, 60)
    [first] = controllers(here)
    first.kill()
    wait_until(lambda: not controllers(here), 10)
    sql("UPDATE clusters SET round_at = now() - interval '5 min'")
    shown = here.run("simcelery", "doctor").stdout
    assert "nobody has looked after cluster local for 5m" in shown, shown
    as_a_worker = """
    import time
    from pathlib import Path
    from simcelery.cluster import controller
    from simcelery.settings import get_settings
    controller.replace(get_settings())
    while not Path("enough").exists():
        time.sleep(0.05)
    """
    worker = here.start_python(as_a_worker)
    wait_until(lambda: sql("SELECT round_at > now() - interval '1 min' FROM clusters") == [(True,)], 60)
    assert len(controllers(here)) == 1
    (here.folder / "enough").touch()
    assert worker.wait(within(20)) == 0
    wait_until(lambda: not controllers(here), 20)
    cluster(here, "resume", "local")
    [second] = controllers(here)
    assert second.pid != first.pid


def test_as_many_as_there_is_work_for(here: Project) -> None:
    """Not for what is held, blocked or scheduled, nor for queues that its workers do not serve."""
    never = submit(here, "sims.add", "a=1", "-q", "elsewhere")
    submit(here, "sims.add", "a=1", "--after", str(never))
    later = submit(here, "sims.add", "a=1")
    sql("UPDATE jobs SET state = 'scheduled', run_at = now() + interval '1 h' WHERE id = :id", id=later)
    cluster(here, "auto", "work", "--on", "local", "--max", "2", "--worker", "-c 1 -Q default --max-idle 3")
    assert listed(here, "work")["wanted"] == 0
    of_each = (f"folder={here.folder}", "licences=8", "pause=0.1")
    jobs = [submit(here, "sims.licensed", *of_each) for _ in range(3)]
    wait_until(lambda: len(running("work")) == 2, 60)
    assert listed(here, "work")["wanted"] == 2
    (here.folder / "go").touch()
    wait_until(lambda: {state(job) for job in jobs} == {"succeeded"}, 90)
    wait_until(lambda: itemgetter("wanted", "live")(listed(here, "work")) == (0, 0), 90, every=0.5)
    shown = listed(here, "work")
    assert {one["cause"] for one in shown["allocations"]} == {"finished"}
    assert shown["failed"] == 0
    assert {row(job).losses for job in jobs} == {0}


def test_what_is_of_no_use_three_times_is_paused_and_everybody_says_so(here: Project) -> None:
    job = submit(here, "sims.add", "a=1")
    cluster(here, "start", "1", "--on", "local", "--name", "bad", "--setup", "echo no licence; false")

    def is_paused() -> bool:
        sql("UPDATE clusters SET next_at = now() WHERE state = 'active'")
        return listed(here, "bad")["state"] == "paused"

    wait_until(is_paused, 60, every=0.5)
    for words in (("status",), ("doctor",), ("explain", str(job)), ("cluster",), ("cluster", "list", "bad")):
        done = here.run("simcelery", *words)
        assert (
            "cluster bad is paused, since 3 allocations in a row were of no use" in done.stdout + done.stderr
        ), words
        assert "simcelery cluster resume bad" in done.stdout + done.stderr, words
    assert "no licence" in cluster(here, "logs", "bad")
    assert listed(here, "bad")["allocations"][0]["tail"].startswith("no licence")
    cluster(here, "resume", "bad")
    assert listed(here, "bad")["state"] == "active"


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(here: Project) -> None:
    for words, expected in (
        (("start", "1", "--on", "gpu"), "there is no [clusters.gpu] in the settings (they have: none)"),
        (("start", "1", "--on", "slurm", "--name", "a b"), "name: "),
        (("start", "1", "--on", "pbs"), "there is no command qsub on this host"),
        (("start", "x", "--on", "local"), "'x' is not a whole number"),
        (("start", "1", "--on", "local", "--gpus", "2"), "gpus: the launcher local has no such thing"),
        (("start", "1", "--on", "local", "--", "-n", "me"), "-n cannot be given"),
        (("start", "1", "--on", "local", "--worker", "-c '4"), "worker: cannot be taken apart"),
        (("start", "1", "--on", "local", "--worker", "-c '4", "--", "-E"), "cannot be taken apart"),
        (("auto", "x", "--on", "local", "--min", "3", "--max", "2"), "--max 2 is below --min 3"),
        (("scale", "x", "3"), "there is no cluster 'x'"),
        (("stop", "x"), "there is no cluster 'x'"),
        (("resume", "x"), "there is no cluster 'x'"),
        (("logs", "x"), "there is no cluster or allocation 'x'"),
    ):
        done = here.run(
            "simcelery", "cluster", *words, PATH=f"{here.environment['PATH'].split(':')[0]}:/usr/bin:/bin"
        )
        assert done.returncode == 2, (words, done.stderr)
        assert expected in done.stderr, (words, done.stderr)
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sql("SELECT * FROM clusters") == []


def test_a_dry_run_shows_the_script_and_submits_nothing(here: Project) -> None:
    said = cluster(
        here, "start", "3", "--on", "local", "--setup", "module load gcc", "--dry-run", "--", "-c", "2"
    )
    assert said.splitlines()[0] == "#!/bin/sh"  # as it is written: it can be kept, and read
    assert "module load gcc" in said
    assert "-m celery -A simcelery worker" in said
    assert sql("SELECT count(*) FROM clusters") == sql("SELECT count(*) FROM allocations") == [(0,)]


def test_profiles_of_the_settings_and_flags_before_them(here: Project) -> None:
    with (here.folder / "simcelery.toml").open("a") as file:
        file.write('\n[clusters.mine]\nlauncher = "local"\nworker = "-c 3"\nwalltime = "1h"\n')
    cluster(here, "start", "0", "--on", "mine", "--walltime", "30m")
    [(profile,)] = sql("SELECT profile FROM clusters WHERE name = 'mine'")
    assert (profile["worker"], profile["walltime"]) == (["-c", "3"], 1800)
    for words, expected in (
        (("start", "1", "--on", "mine"), "there is a cluster 'mine' already"),
        (("auto", "mine", "--max", "1", "--walltime", "2h"), "cluster mine has its profile"),
    ):
        done = here.run("simcelery", "cluster", *words)
        assert (done.returncode, expected in done.stderr) == (2, True), done.stderr


def test_in_front_until_ctrl_c(here: Project) -> None:
    words = ["simcelery", "cluster", "start", "1", "--on", "local", "--watch", "--", "-c", "1"]
    front = programs.start(words, here.folder, here.environment)
    wait_until(lambda: len(running("local")) == 1, 60)
    front.send_signal(signal.SIGINT)
    assert front.wait(within(60)) == 0
    assert running("local") == []


def test_what_leaves_without_a_job_is_not_replaced_again_and_again(here: Project) -> None:
    idle = f"{within(1):g}"  # enough for a message to arrive, also where there is much to do
    cluster(here, "start", "1", "--on", "local", "--name", "idle", "--", "-c", "1", "--max-idle", idle)
    note = "its last two workers left without a job"
    wait_until(lambda: note in (listed(here, "idle")["note"] or ""), 120, every=0.5)
    told = listed(here, "idle")
    assert (told["running"], told["state"]) == (0, "active")
    known = len(told["allocations"])
    job = submit(here, "sims.trace", f"path={here.folder / 'ran'}")
    wait_until(lambda: state(job) == "succeeded", 60)
    # Once that one has had a job, it is replaced as ever.
    until = sql("SELECT count(*) FROM allocations WHERE recorded_at < :at", at=row(job).finished_at)
    assert until == [(known + 1,)]


def test_rows_that_nobody_understands_stop_no_controller(here: Project, board: Services) -> None:
    """With the constraints gone, as after a restore by hand; the honest cluster is looked after."""
    with hostile_rows.without_checks(board.database_url) as connection:
        for number, profile in enumerate(('{"options": [1, {}]}', "[]", '{"launcher": 5, "cores": []}', "7")):
            connection.execute(
                "INSERT INTO clusters (name, launcher, profile, wanted, started_by, host) "
                f"VALUES ('bad{number}', 'slurm', '{profile}', 1, 'x', NULL)".encode()
            )
        cluster(here, "start", "1", "--on", "local", "--name", "good", "--setup", "exec sleep 600")
        wait_until(lambda: listed(here, "good")["running"] == 1, 60, every=0.5)
        assert len(controllers(here)) == 1
        connection.execute(b"DELETE FROM clusters WHERE name LIKE 'bad%'")


def test_what_it_cost_adds_up_to_what_was_granted(here: Project) -> None:
    """On two cores: what succeeded, failed, was cancelled, was lost with its worker, and still runs."""
    began = time.monotonic()
    cluster(here, "start", "1", "--on", "local", "--name", "mine", "--", "-c", "2")
    wait_until(lambda: len(running("mine")) == 1, 60)
    works = ("sims.trace", f"path={here.folder / 'trace'}", "-t", "all")
    jobs = [submit(here, *works, "pause=1", "-t", "good") for _ in range(2)]
    jobs.append(submit(here, "sims.picky", "kind=key", "-t", "all"))
    wait_until(lambda: {state(job) for job in jobs} == {"succeeded", "failed"}, 60)
    unwanted, lost = (submit(here, *works, "pause=600") for _ in range(2))
    wait_until(lambda: {state(unwanted), state(lost)} == {"running"}, 60)
    told = report(here)["total"]
    assert 0 < told["core_hours"]["running"] < told["core_hours"]["granted"]
    assert here.run("simcelery", "cancel", str(unwanted), "--wait").returncode == 0
    os.kill(running("mine")[0][1], signal.SIGKILL)
    wait_until(lambda: state(lost) == "running" and row(lost).attempt == 2, 120)
    cluster(here, "stop", "mine", "--wait")
    took = time.monotonic() - began
    whole = report(here, "mine", "--by", "tag")
    hours = whole["total"]["core_hours"]
    assert whole["total"] == {key: value for key, value in whole["clusters"][0].items() if key != "name"}
    assert whole["total"]["allocations"] == 2
    parts = hours["busy"] + hours["lost"] + hours["idle"]
    assert hours["granted"] == pytest.approx(parts, rel=0.01)
    assert hours["too_much"] <= 0.01 * hours["granted"]
    assert 2 / 3600 < hours["succeeded"] < hours["granted"] <= 2 * took / 3600
    assert hours["idle"] >= hours["starting"] > 0
    causes = whole["total"]["lost_by_cause"]
    assert causes.keys() == {"cancelled", "worker_lost", "shutdown"}
    assert sum(loss["attempts"] for loss in causes.values()) == 3
    by_tag = {one["label"]: one for one in whole["labels"]}
    assert (by_tag["good"]["attempts"], by_tag["all"]["attempts"]) == (2, 6)
    assert by_tag["all"]["core_hours"]["lost"] == pytest.approx(hours["lost"])
    shown = here.run("simcelery", "cluster", "report", "--since", "1h").stdout
    assert shown.splitlines()[3].split()[:2] == ["mine", "2"]
    assert "\x1b" not in shown


def report(project: Project, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster(project, "report", *words, "-o", "json")))
