"""Limits on real workers: counted by the jobs themselves, under kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import simcelery
from simcelery.board import engine, limits
from tests.board_helpers import sql
from tests.conftest import Project
from tests.waiting import wait_until


def submit(project: Project, count: int, pause: float, licences: int) -> None:
    """Submit so many jobs that need a licence each."""
    points = project.folder / "points.jsonl"
    given = {"folder": str(project.folder), "licences": licences}
    points.write_text("".join(f"{json.dumps({**given, 'pause': pause + n * 1e-6})}\n" for n in range(count)))
    command = ("simcelery", "submit", "sims.licensed", "--each", str(points), "-t", "licence")
    assert project.run(*command).returncode == 0


def used() -> int:
    """How many licences are used, according to the board."""
    with engine.begin() as connection:
        return limits.listed(connection)[0].used


def test_a_licence_of_8_never_sees_a_ninth_under_kills(project: Project) -> None:
    """A tag that the settings of one worker alone know; children and a worker are killed meanwhile."""
    (project.folder / "simcelery.toml").write_text(
        'workflows = ["sims"]\n[limits]\n"tag:licence" = 8\n"workflow:unknown" = 1\n'
    )
    first = project.worker("-c", "6")
    assert "limits set on the board: tag:licence = 8, workflow:unknown = 1" in project.logs()
    (project.folder / "simcelery.toml").write_text('workflows = ["sims"]\n[limits]\n"tag:licence" = 80\n')
    project.worker("-c", "6")
    assert "tag:licence = 80, but 8 on the board" in project.logs()
    submit(project, 80, 0.4, licences=8)
    wait_until(lambda: used() == 8, 60)
    (project.folder / "go").touch()
    chance = random.Random(7)
    for _ in range(4):
        time.sleep(0.2)  # some are killed early, some late
        if pids := sql(
            "SELECT pid FROM jobs WHERE state = 'running' AND worker_id <> :w", w=_worker(first.pid)
        ):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(pids)[0], signal.SIGKILL)
    running = "SELECT count(*) FROM jobs WHERE state = 'running' AND worker_id = :first"
    wait_until(lambda: sql(running, first=_worker(first.pid))[0][0] > 1, every=0.01)
    first.kill()
    project.worker("-c", "6")
    wait_until(lambda: simcelery.jobs().counts() == {"succeeded": 80}, 120)
    assert not Path(project.folder, "one too many").exists()
    assert sql("SELECT count(*) FROM jobs WHERE losses > 0")[0][0] > 0


def test_a_host_never_runs_one_too_many_under_kills_also_in_slices(project: Project) -> None:
    """Two workers on one host; children of one are killed, then the other one."""
    assert project.run("simcelery", "limits", "set", "host:*", "3").returncode == 0
    first, second = project.worker("-c", "3"), project.worker("-c", "3")
    submit(project, 80, 0.15, licences=3)
    submit(project, 400, 0.002, licences=3)
    chance = random.Random(7)
    wait_until(lambda: used() == 3, 60)
    (project.folder / "go").touch()
    for _ in range(3):
        wait_until(lambda: used() == 3 or simcelery.jobs().counts() == {"succeeded": 480}, 60)
        ours = "SELECT pid FROM jobs WHERE state = 'running' AND worker_id = :w"
        if pids := sql(ours, w=_worker(second.pid)):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(pids)[0], signal.SIGKILL)
    first.kill()
    project.worker("-c", "3")
    wait_until(lambda: simcelery.jobs().counts() == {"succeeded": 480}, 120)
    assert not Path(project.folder, "one too many").exists()
    assert sql("SELECT count(*) FROM jobs WHERE losses > 0")[0][0] > 0


def _worker(pid: int) -> int:
    return int(sql("SELECT id FROM workers WHERE pid = :pid", pid=pid)[0][0])


def test_what_waits_for_a_limit_blocks_no_slot_and_starts_at_once(project: Project) -> None:
    assert project.run("simcelery", "limits", "set", "tag:licence", "1").returncode == 0
    (project.folder / "go").touch()
    submit(project, 4, 0.3, licences=1)
    project.run("simcelery", "submit", "sims.add", "--grid", "a=1,2,3")
    project.worker("-c", "2", SIMCELERY_TICK_EVERY="60")
    wait_until(lambda: simcelery.jobs(workflow="sims.add").counts() == {"succeeded": 3}, 30)
    wait_until(lambda: simcelery.jobs(state="blocked").count() > 0, 30)
    assert project.run("simcelery", "limits", "-o", "quiet").stdout == "tag:licence\n"
    wait_until(lambda: simcelery.jobs().counts() == {"succeeded": 7}, 60)
    assert not Path(project.folder, "one too many").exists()


def test_bad_limits_are_refused_in_one_line(project: Project) -> None:
    for words, expected in (
        (("licence", "8"), "'licence' is no limit: write tag:NAME, workflow:NAME, queue:NAME, host:NAME"),
        (("tag:", "8"), "'tag:' is no limit"),
        (("tag:x", "-1"), "-1"),
        (("tag:x", "8.5"), "'8.5' is not a valid integer"),
    ):
        done = project.run("simcelery", "limits", "set", "--", *words)
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "no limit 'tag:x'" in project.run("simcelery", "limits", "remove", "tag:x").stderr
    assert sql("SELECT * FROM limits") == []
