"""Redis answers, but with an error: waited out like a lost connection, by workers and by clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from simcelery import services
from simcelery.settings import Settings
from tests import redis_errors
from tests.conftest import Project, wait_until
from tests.servers import all_succeeded, ask, executions

Own = tuple[Settings, Project]


@pytest.fixture
def server(own: Own) -> Iterator[redis.Redis]:
    """The Redis that answers so."""
    with redis.Redis.from_url(own[0].redis_url(), socket_timeout=30) as client:
        yield client


def redis_data(settings: Settings) -> Path:
    """Its folder."""
    [one] = [one for one in services.status(settings) if one.name == "valkey"]
    return one.data_folder


def submit_trace(project: Project, path: Path) -> str:
    """Submit a job from the command line; what that wrote to its error stream."""
    done = project.run("simcelery", "submit", "sims.trace", f"path={path}", "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return done.stderr


def stays_in_one_piece(project: Project, worker: Any) -> None:
    """The worker lives, and its log holds lines instead of tracebacks."""
    logs = project.logs()
    assert worker.poll() is None, logs
    assert "Traceback" not in logs, logs
    assert "Unrecoverable" not in logs


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "answer", "waits"),
    [
        (redis_errors.full, "OOM", False),
        (redis_errors.replica, "READONLY", True),
    ],
)
def test_an_answer_that_is_an_error_is_waited_out(
    own: Own, server: redis.Redis, tmp_path: Path, fault: Any, answer: str, waits: bool
) -> None:
    settings, project = own
    worker = project.worker("-c", "1")
    before, during = tmp_path / "before", tmp_path / "during"
    submit_trace(project, before)
    wait_until(lambda: all_succeeded(settings, 1), 60)
    with fault(server, redis_data(settings)):
        if waits:
            wait_until(lambda: f"answers with an error, and the worker waits: {answer}" in project.logs(), 30)
        told = submit_trace(project, during)
        assert "cannot be reached" not in told
        time.sleep(3)
        stays_in_one_piece(project, worker)
    wait_until(lambda: all_succeeded(settings, 2), 60)
    assert executions(during) == 1
    stays_in_one_piece(project, worker)
    assert "cannot be reached" not in project.logs()
    lines = [line for line in project.logs().splitlines() if answer in line]
    assert len(lines) <= 8, lines
    assert ask(settings, "SELECT count(*) AS n FROM attempts") == [{"n": 2}]
