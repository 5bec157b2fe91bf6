"""Redis dies again and again, or comes back with a past of its own: it only carries wake-up calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from simcelery import services
from simcelery.settings import Settings
from tests.board_helpers import lane
from tests.conftest import Project
from tests.servers import all_succeeded, ask, executions, kill_server, outcomes, submit_traces
from tests.waiting import wait_until

RESTARTS = 8
JOBS = 900


@pytest.mark.timeout(300)
def test_redis_restarted_again_and_again_under_load_loses_no_job_and_leaves_no_worker_deaf(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    # Beside the common queue each consumes one of its own: a job there proves that it hears.
    workers = [project.worker("-Q", f"default,own{i}") for i in range(4)]
    count = tmp_path / "count"
    code = f"import sims; sims.trace.submit_many([{{'path': {str(count)!r}, 'pause': 0.09}}] * {JOBS})"
    assert project.python(code).returncode == 0
    for _ in range(RESTARTS):
        kill_server(settings, "valkey")
        services.up(settings)
        time.sleep(0.7)
    assert not all_succeeded(settings, JOBS), "the load ended before the restarts"
    wait_until(lambda: all_succeeded(settings, JOBS), 120, every=0.5)
    assert executions(count) == JOBS
    assert outcomes(settings) == [["succeeded"]] * JOBS
    counts = [tmp_path / f"count{i}" for i in range(4)]
    for i, path in enumerate(counts):
        submit_traces(project, [path], queue=f"own{i}")
    wait_until(lambda: all_succeeded(settings, JOBS + 4), 30)
    assert [executions(path) for path in counts] == [1] * 4
    assert [worker.poll() for worker in workers] == [None] * 4


def redis_data(settings: Settings) -> Path:
    """Where Redis keeps its messages."""
    [server] = [one for one in services.status(settings) if one.name == "valkey"]
    return server.data_folder / "appendonlydir"


def copy(source: Path, target: Path) -> None:
    """With the owner, who need not be us."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def test_jobs_whose_messages_are_gone_with_the_data_of_redis_run_once(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    worker = project.worker("-c", "1")
    counts = [tmp_path / f"count{i}" for i in range(20)]
    submit_traces(project, counts, pause=0.2)
    kill_server(settings, "valkey")
    shutil.rmtree(redis_data(settings))
    services.up(settings)
    wait_until(lambda: all_succeeded(settings, 20), 60, every=0.3)
    assert [executions(path) for path in counts] == [1] * 20
    assert worker.poll() is None


def test_an_old_snapshot_of_redis_brings_no_job_back_and_hides_none(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    snapshot = tmp_path / "snapshot"
    old = [tmp_path / f"old{i}" for i in range(10)]
    submit_traces(project, old)
    time.sleep(1.5)  # it writes its file once a second
    kill_server(settings, "valkey")
    copy(redis_data(settings), snapshot)
    services.up(settings)
    worker = project.worker("-c", "2")
    wait_until(lambda: all_succeeded(settings, 10), 30)
    new = [tmp_path / f"new{i}" for i in range(20)]
    submit_traces(project, new, pause=0.4)
    kill_server(settings, "valkey")
    copy(snapshot, redis_data(settings))
    services.up(settings)
    wait_until(lambda: all_succeeded(settings, 30), 60, every=0.3)
    assert [executions(path) for path in [*old, *new]] == [1] * 30
    assert outcomes(settings) == [["succeeded"]] * 30
    # The old messages were read, and missed their claims.
    assert ask(settings, "SELECT count(*) AS n FROM jobs WHERE attempt <> 1") == [{"n": 0}]
    wait_until(lambda: redis.Redis.from_url(settings.redis_url()).llen(lane("sims.trace")) == 0)
    assert worker.poll() is None


def pool_children(pid: int) -> set[int]:
    """The pids of a worker's pool children that live."""
    found = set()
    for one in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if "celery" in one.name():
                found.add(one.pid)
    return found


def test_a_worker_whose_children_died_together_outlives_the_next_restart_of_redis(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    worker = project.worker("-c", "6")
    for _ in range(3):
        dead = pool_children(worker.pid)
        # Stopped meanwhile, it hears of all the deaths in the same round of its event loop.
        worker.send_signal(signal.SIGSTOP)
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda dead=dead: len(pool_children(worker.pid) - dead) == 6)
        time.sleep(0.5)
    kill_server(settings, "valkey")
    services.up(settings)
    submit_traces(project, [tmp_path / "count"])
    wait_until(lambda: all_succeeded(settings, 1), 30)
    assert worker.poll() is None, project.logs()
