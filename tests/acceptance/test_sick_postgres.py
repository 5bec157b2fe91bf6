"""A Postgres that does not go away, but does not answer, or takes no writes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from simcelery import services
from simcelery.settings import Settings
from tests.conftest import BIN, Project
from tests.servers import all_succeeded, executions, kill_server, outcomes, submit_traces
from tests.waiting import wait_until, within


@pytest.fixture
def frozen() -> Iterator[list[psutil.Process]]:
    """Processes that go on after the test."""
    held: list[psutil.Process] = []
    yield held
    for process in held:
        if process.is_running():
            process.resume()


def freeze(settings: Settings, held: list[psutil.Process]) -> None:
    """Stop Postgres and all its backends: the kernel still takes what is sent to them."""
    [pid] = [one.pid for one in services.status(settings) if one.name == "postgres"]
    assert pid is not None
    server = psutil.Process(pid)
    server.suspend()
    held += [server, *server.children(recursive=True)]
    for process in held[1:]:
        process.suspend()


def test_a_worker_that_must_end_while_postgres_hangs_leaves_its_outcome_in_the_spool(
    own: tuple[Settings, Project], tmp_path: Path, frozen: list[psutil.Process]
) -> None:
    settings, project = own
    count = tmp_path / "count"
    worker = project.worker("-c", "1", SIMCELERY_SHUTDOWN_GRACE="1")
    submit_traces(project, [count], pause=within(3.0))
    wait_until(lambda: executions(count) == 1)
    freeze(settings, frozen)
    time.sleep(within(3.0) + 1)  # the workflow has ended, and its child waits for an answer
    worker.terminate()
    wait_until(lambda: list(settings.spool.glob("*.json")), 15)
    for process in frozen:
        process.resume()
    worker.wait(within(60))
    project.worker("-c", "1")
    wait_until(lambda: all_succeeded(settings, 1), 40)
    assert (executions(count), outcomes(settings)) == (1, [["succeeded"]])


def alter(settings: Settings, statement: str) -> None:
    """Change the server's configuration."""
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute(statement.encode())
        connection.execute("SELECT pg_reload_conf()")


def test_a_board_that_is_read_only_for_a_while_fails_no_job_and_eats_no_message(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    """As in a failover, when the address leads to a standby for some seconds."""
    settings, project = own
    counts = [tmp_path / f"count{i}" for i in range(4)]
    worker = project.worker("-c", "1")
    submit_traces(project, counts, pause=1.5)
    wait_until(lambda: executions(counts[0]) == 1)
    alter(settings, "ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        time.sleep(5)
    finally:
        alter(settings, "ALTER SYSTEM RESET default_transaction_read_only")
    wait_until(lambda: all_succeeded(settings, len(counts)), 40)
    assert [executions(count) for count in counts] == [1] * 4
    assert outcomes(settings) == [["succeeded"]] * 4
    assert worker.poll() is None


def test_a_worker_that_starts_without_postgres_waits_for_it(
    own: tuple[Settings, Project], tmp_path: Path
) -> None:
    settings, project = own
    count = tmp_path / "count"
    submit_traces(project, [count])
    kill_server(settings, "postgres")
    log = project.folder / "early.log"
    worker = subprocess.Popen(
        [str(BIN / "celery"), "-A", "simcelery", "worker", "-c", "1", "-l", "INFO"],
        cwd=project.folder,
        env=project.environment,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    project.processes.append(worker)
    wait_until(lambda: "the worker is waiting: the board at" in log.read_text(), 30)
    services.up(settings)
    wait_until(lambda: all_succeeded(settings, 1), 40)
    assert worker.poll() is None
