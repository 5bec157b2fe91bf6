"""Servers that the tests here may kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from simcelery.services import Services
from simcelery.settings import Settings
from tests import redis_errors
from tests.acceptance.fleets import Fleet
from tests.conftest import Project, make_project
from tests.servers import own_project, own_servers


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Servers that the tests of a module may kill; the next test finds them up again."""
    with own_servers(tmp_path_factory.mktemp("mortal")) as settings:
        yield settings


@pytest.fixture(scope="module")
def place(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which monitors are started."""
    made = make_project(servers, tmp_path_factory.mktemp("monitor"))
    yield made
    made.stop()


@pytest.fixture
def own(mortal: Settings, tmp_path: Path) -> Iterator[tuple[Settings, Project]]:
    """Those servers, with an empty board, and a project on them. `simcelery` in this process means others."""
    with own_project(mortal, tmp_path / "project") as project:
        yield mortal, project


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
