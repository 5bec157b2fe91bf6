"""Redis answers, but with an error: waited out like a lost connection, by workers and by clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from simcelery import services
from simcelery.settings import Settings
from tests import redis_errors
from tests.conftest import Project
from tests.servers import all_succeeded, ask, executions
from tests.waiting import wait_until

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


def submit_trace(project: Project, path: Path, **given: object) -> str:
    """Submit a job from the command line; what that wrote to its error stream."""
    more = [f"{name}={value}" for name, value in given.items()]
    done = project.run("simcelery", "submit", "sims.trace", f"path={path}", *more, "-o", "quiet")
    assert done.returncode == 0, done.stderr
    return done.stderr


def stays_in_one_piece(project: Project, worker: Any) -> None:
    """The worker lives, and its log holds lines instead of tracebacks."""
    logs = project.logs()
    assert worker.poll() is None, logs
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("answer", FAULTS)
def test_an_answer_that_is_an_error_is_waited_out(
    own: Own, server: redis.Redis, tmp_path: Path, answer: str
) -> None:
    settings, _ = own
    fault, worker_says, client_says = FAULTS[answer]
    _is_waited_out(own, tmp_path, worker_says, client_says, lambda: fault(server, redis_data(settings)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("answer", BY_PROXY)
def test_an_answer_that_this_redis_cannot_be_made_to_give_is_waited_out(
    own: Own, tmp_path: Path, answer: str
) -> None:
    settings, project = own
    url = urlsplit(settings.redis_url())
    proxy = redis_errors.Proxy(str(url.hostname), int(url.port or 6379))
    project.environment["SIMCELERY_BROKER_URL"] = settings.redis_url().replace(
        f":{url.port}/", f":{proxy.port}/"
    )
    try:
        # The worker may be in the middle of its heartbeat, which waits without a line.
        _is_waited_out(own, tmp_path, None, answer, lambda: proxy.answering(BY_PROXY[answer]))
    finally:
        project.stop()
        proxy.close()


def _is_waited_out(
    own: Own,
    tmp_path: Path,
    worker_says: str | None,
    client_says: str | None,
    fault: Callable[[], AbstractContextManager[None]],
) -> None:
    """By a worker that is idle, by one that is busy, and by whoever submits."""
    settings, project = own
    worker = project.worker("-c", "1")
    before, during, slow, after = (tmp_path / name for name in ("before", "during", "slow", "after"))
    submit_trace(project, before)
    wait_until(lambda: all_succeeded(settings, 1), 60)
    with fault():
        if worker_says is not None:
            wait_until(lambda: worker_says in project.logs(), 60)
        told = submit_trace(project, during)
        if client_says is not None:
            assert "will be published later" in told
            assert "answers with an error: " in told
            assert client_says in told
            assert len(told.strip().splitlines()) == 1
        assert "cannot be reached" not in told
        time.sleep(2)
        stays_in_one_piece(project, worker)
    wait_until(lambda: all_succeeded(settings, 2), 90)

    # Longer than a connection may rest without being tried.
    submit_trace(project, slow, pause=12)
    wait_until(lambda: executions(slow), 60)
    with fault():
        wait_until(lambda: all_succeeded(settings, 3), 60)  # the board knows at once
        submit_trace(project, after)
        time.sleep(2)
        stays_in_one_piece(project, worker)
    wait_until(lambda: all_succeeded(settings, 4), 90)

    assert [executions(path) for path in (before, during, slow, after)] == [1, 1, 1, 1]
    stays_in_one_piece(project, worker)
    assert "cannot be reached" not in project.logs()
    lines = [line for line in project.logs().splitlines() if "WARNING" in line or "ERROR" in line]
    assert len(lines) <= 40, lines
    assert ask(settings, "SELECT count(*) AS n FROM attempts") == [{"n": 4}]
