"""Ways to have a real Redis answer with an error, and to set it right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


@contextmanager
def full(server: redis.Redis, _: Path) -> Iterator[None]:
    """OOM."""
    server.config_set("maxmemory", 1)
    try:
        yield
    finally:
        server.config_set("maxmemory", 0)


@contextmanager
def replica(server: redis.Redis, _: Path) -> Iterator[None]:
    """READONLY, and UNBLOCKED for who waits just then: a failover."""
    server.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        server.execute_command("REPLICAOF", "NO", "ONE")
