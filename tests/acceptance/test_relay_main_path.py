"""The main path once more, on a worker that reaches board and broker through the relay only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from simcelery.services import Services
from tests.acceptance.test_main_path import *  # noqa: F403 - all of its tests
from tests.conftest import Project, empty, make_project
from tests.relays import relay_to

pytestmark = [
    pytest.mark.installed_programs,
    pytest.mark.skipif(not shutil.which("openssl"), reason="the program openssl makes the certificates"),
]


@pytest.fixture(scope="module")
def shared_project(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """In the place of the one whose worker connects directly."""
    empty(servers)
    made = make_project(servers, tmp_path_factory.mktemp("project"))
    with relay_to(made, tmp_path_factory.mktemp("relay") / "relay") as relay:
        made.environment |= relay.worker("node")
        made.worker()
        yield made
        made.end()
        assert "node from 127.0.0.1:" in relay.log()
