"""Redis answers, but with an error: waited out like a lost connection, by workers and by clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from simcelery import services
from simcelery.settings import Settings
from tests import redis_errors
from tests.conftest import Project
from tests.servers import all_succeeded, ask, executions, own_project
from tests.waiting import wait_until


@dataclass
class Fleet:
    """Two workers with a slot each, and the Redis through which they are reached.

    Attributes:
        settings: those of servers and board.
        server: to the Redis itself, with all rights.
        proxy: what everybody else goes through.
        done: how many jobs the workers have done.
    """

    settings: Settings
    project: Project
    server: redis.Redis
    proxy: redis_errors.Proxy
    workers: list[Any]
    done: int = 0

    def all_done(self, more: int) -> None:
        """Wait for so many jobs more."""
        self.done += more
        wait_until(lambda: all_succeeded(self.settings, self.done), 90)


@pytest.fixture(scope="module")
def fleet(mortal: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The same workers go through all faults, one after the other."""
    with own_project(mortal, tmp_path_factory.mktemp("fleet") / "project") as project:
        url = urlsplit(mortal.redis_url())
        proxy = redis_errors.Proxy(str(url.hostname), int(url.port or 6379))
        project.environment["SIMCELERY_BROKER_URL"] = mortal.redis_url().replace(
            f":{url.port}/", f":{proxy.port}/"
        )
        with redis.Redis.from_url(mortal.redis_url(), socket_timeout=30) as server:
            workers = [project.worker("-c", "1") for _ in range(2)]
            try:
                yield Fleet(mortal, project, server, proxy, workers)
            finally:
                project.end()
                proxy.close()


def redis_data(settings: Settings) -> Path:
    """Its folder."""
    [one] = [one for one in services.status(settings) if one.name == "valkey"]
    return one.data_folder


def submit_trace(project: Project, path: Path, **given: object) -> str:
    """Submit a job from the command line; what that wrote to its error stream."""
    more = [f"{name}={value}" for name, value in given.items()]
    done = project.run("simcelery", "submit", "sims.trace", f"path={path}", *more, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return done.stderr


def stay_in_one_piece(fleet: Fleet) -> None:
    """The workers live, and their logs hold lines instead of tracebacks."""
    logs = fleet.project.logs()
    assert [worker.poll() for worker in fleet.workers] == [None, None], logs
    assert "Traceback" not in logs, logs
    assert "Unrecoverable" not in logs


_UNKNOWN = "invalid username-password pair"
# Code → how it is made, what the log of a worker says of it, and what a client does; None: it never hears.
FAULTS: dict[str, tuple[Any, str | None, str | None]] = {
    "OOM": (redis_errors.full, None, "OOM"),
    "READONLY": (redis_errors.replica, "READONLY", "READONLY"),
    "MASTERDOWN": (redis_errors.without_master, "READONLY", "MASTERDOWN"),
    "NOREPLICAS": (redis_errors.without_replicas, "NOREPLICAS", "NOREPLICAS"),
    "NOPERM": (redis_errors.without_rights, "NOPERM", "NOPERM"),
    "WRONGPASS": (redis_errors.another_password, _UNKNOWN, _UNKNOWN),
    "MISCONF": (redis_errors.not_saved, "MISCONF", "MISCONF"),
    "UNBLOCKED": (redis_errors.unblocked, "UNBLOCKED", None),
}
BY_PROXY = {
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN": "CLUSTERDOWN Hash slot not served",
    "NOAUTH": "NOAUTH Authentication required.",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "nobody has heard of": "ERR something that nobody has heard of",
}


@pytest.mark.parametrize("answer", FAULTS)
def test_an_answer_that_is_an_error_is_waited_out(fleet: Fleet, tmp_path: Path, answer: str) -> None:
    fault, workers_say, client_says = FAULTS[answer]
    data = redis_data(fleet.settings)
    _is_waited_out(fleet, tmp_path, workers_say, client_says, lambda: fault(fleet.server, data))


@pytest.mark.parametrize("answer", BY_PROXY)
def test_an_answer_that_this_redis_cannot_be_made_to_give_is_waited_out(
    fleet: Fleet, tmp_path: Path, answer: str
) -> None:
    # A worker may be in the middle of its heartbeat, which waits without a line.
    _is_waited_out(fleet, tmp_path, None, answer, lambda: fleet.proxy.answering(BY_PROXY[answer]))


def _is_waited_out(
    fleet: Fleet,
    tmp_path: Path,
    workers_say: str | None,
    client_says: str | None,
    fault: Callable[[], AbstractContextManager[None]],
) -> None:
    """By a worker that is idle, by one that is busy, and by whoever submits."""
    project = fleet.project
    slow, during, after = (tmp_path / name for name in ("slow", "during", "after"))

    def said(text: str | None) -> int:
        return sum(text is not None and text in line for line in _warnings(project))

    before, said_before = said(""), said(workers_say)
    # Longer than a connection may rest without being tried.
    submit_trace(project, slow, pause=12)
    wait_until(lambda: executions(slow), 60)
    with fault():
        if workers_say is not None:
            wait_until(lambda: said(workers_say) > said_before, 60)
        told = submit_trace(project, during)
        if client_says is not None:
            assert "will be published later" in told
            assert "answers with an error: " in told
            assert client_says in told
            assert len(told.strip().splitlines()) == 1
        assert "cannot be reached" not in told
        wait_until(lambda: state_of(fleet.settings, slow) == "succeeded", 60)  # the board knows at once
        time.sleep(2)
        stay_in_one_piece(fleet)
    submit_trace(project, after)
    fleet.all_done(3)

    assert [executions(path) for path in (slow, during, after)] == [1, 1, 1]
    stay_in_one_piece(fleet)
    assert "cannot be reached" not in project.logs()
    assert said("") - before <= 40, project.logs()
    assert ask(fleet.settings, "SELECT count(*) AS n FROM attempts") == [{"n": fleet.done}]


def _warnings(project: Project) -> list[str]:
    return [line for line in project.logs().splitlines() if "WARNING" in line or "ERROR" in line]


def state_of(settings: Settings, path: Path) -> str:
    """The state of the job that was submitted with this path."""
    [found] = ask(settings, "SELECT state FROM jobs WHERE parameters ->> 'path' = %s", str(path))
    return str(found["state"])
