"""A cluster node behind a firewall, and the servers that it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from simcelery.services import Services
from tests import namespaces
from tests.conftest import Project, make_project
from tests.namespaces import GATEWAY, Network

NEEDED = pytest.mark.skipif(namespaces.missing() is not None, reason=str(namespaces.missing()))
POSTGRES, REDIS = 5432, 6379  # on the gateway


@dataclass
class Site:
    """A cluster node, and the rest of the world.

    Attributes:
        node: the project as it is there, with a home of its own.
        here: the same project, on this machine with its servers.
    """

    network: Network
    node: Project
    here: Project


@contextmanager
def site(board: Services, folder: Path, *ports: int) -> Iterator[Site]:
    """A node that may reach these ports of the gateway; no worker is there yet."""
    with namespaces.network(*ports) as network:
        network.serve(POSTGRES, port_of(board.database_url))
        network.serve(REDIS, port_of(board.broker_url))
        here = make_project(board, folder)
        there = {
            "SIMCELERY_DATABASE_URL": elsewhere(board.database_url, f"{GATEWAY}:{POSTGRES}"),
            "SIMCELERY_BROKER_URL": elsewhere(board.broker_url, f"{GATEWAY}:{REDIS}"),
            "SIMCELERY_HOME": str(folder / "home of the node"),
        }
        node = replace(here, environment=here.environment | there, processes=[], inside=network.node.inside)
        try:
            yield Site(network, node, here)
        finally:
            node.end()
            here.end()


def port_of(url: str) -> int:
    """The port that a URL names."""
    port = urlsplit(url).port
    assert port is not None
    return port


def elsewhere(url: str, address: str) -> str:
    """The same URL with another host and port."""
    who, _, where = urlsplit(url).netloc.rpartition("@")
    return url.replace(f"{who}@{where}", f"{who}@{address}")
