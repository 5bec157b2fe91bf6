"""Two workers that go through faults of their Redis, and what is expected of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from simcelery.settings import Settings
from tests import redis_errors
from tests.conftest import Project
from tests.servers import ask, executions
from tests.waiting import wait_until


@dataclass
class Fleet:
    """Two workers with a slot each, and the Redis through which they are reached.

    Attributes:
        settings: those of servers and board.
        server: to the Redis itself, with all rights.
        proxy: what everybody else goes through.
    """

    settings: Settings
    project: Project
    server: redis.Redis
    proxy: redis_errors.Proxy
    workers: list[Any]


def submit_trace(project: Project, path: Path, **given: object) -> str:
    """Submit a job from the command line; what that wrote to its error stream."""
    more = [f"{name}={value}" for name, value in given.items()]
    done = project.run("simcelery", "submit", "sims.trace", f"path={path}", *more, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return done.stderr


def stay_in_one_piece(fleet: Fleet, logs: str) -> None:
    """The workers live, and their logs hold lines instead of tracebacks."""
    assert [worker.poll() for worker in fleet.workers] == [None, None], logs
    assert "Traceback" not in logs, logs
    assert "Unrecoverable" not in logs


def is_waited_out(
    fleet: Fleet,
    tmp_path: Path,
    workers_say: str | None,
    client_says: str | None,
    fault: Callable[[], AbstractContextManager[None]],
) -> None:
    """By a worker that is idle, by one that is busy, and by whoever submits."""
    project = fleet.project
    slow, during, after = (tmp_path / name for name in ("slow", "during", "after"))

    earlier = {worker: len(text) for worker, text in project.log_of_each().items()}

    def logs() -> str:
        return "".join(text[earlier[worker] :] for worker, text in project.log_of_each().items())

    def said(text: str) -> int:
        return sum(text in line for line in _warnings(logs()))

    # Longer than a connection may rest without being tried.
    submit_trace(project, slow, pause=12)
    wait_until(lambda: executions(slow), 60)
    with fault():
        if workers_say is not None:
            wait_until(lambda: said(workers_say), 60)
        told = submit_trace(project, during)
        if client_says is not None:
            assert "will be published later" in told
            assert "answers with an error: " in told
            assert client_says in told, told
            assert len(told.strip().splitlines()) == 1
        assert "cannot be reached" not in told
        wait_until(lambda: state_of(fleet.settings, slow) == "succeeded", 60)  # the board knows at once
        time.sleep(2)
        stay_in_one_piece(fleet, logs())
    submit_trace(project, after)
    paths = (slow, during, after)
    for path in paths:
        wait_until(lambda path=path: state_of(fleet.settings, path) == "succeeded", 90)  # type: ignore[misc]
    assert [executions(path) for path in paths] == [1, 1, 1]
    assert [attempts_of(fleet.settings, path) for path in paths] == [1, 1, 1]
    stay_in_one_piece(fleet, logs())
    assert "cannot be reached" not in logs()
    assert said("") <= 40, logs()


def _warnings(logs: str) -> list[str]:
    return [line for line in logs.splitlines() if "WARNING" in line or "ERROR" in line]


def attempts_of(settings: Settings, path: Path) -> int:
    """How many attempts that job has had."""
    counted = (
        "SELECT count(*) AS n FROM attempts JOIN jobs ON jobs.id = job_id WHERE parameters ->> 'path' = %s"
    )
    [found] = ask(settings, counted, str(path))
    return int(found["n"])


def state_of(settings: Settings, path: Path) -> str:
    """The state of the job that was submitted with this path."""
    [found] = ask(settings, "SELECT state FROM jobs WHERE parameters ->> 'path' = %s", str(path))
    return str(found["state"])
