"""Errors that Redis answers with: at a failover, with its memory full, other rights, or foreign keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import redis

# Nobody listens there: a replica of it never gets any data.
_NO_MASTER = ("127.0.0.1", 1)


@dataclass(frozen=True)
class Answer:
    """An error, how it begins and how it ends."""

    begin: Callable[[redis.Redis], object]
    end: Callable[[redis.Redis], object]


def _misplace(client: redis.Redis) -> None:
    """A foreign value in the place of some lists: WRONGTYPE."""
    lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
    for key in random.sample(lists, min(3, len(lists))):
        client.delete(key)
        client.set(key, "not a list")


def _remove_misplaced(client: redis.Redis) -> None:
    for key in client.scan_iter():
        if client.type(key) == b"string":
            client.delete(key)


ANSWERS = {
    "READONLY": Answer(
        lambda client: client.replicaof(*_NO_MASTER),
        lambda client: client.replicaof("NO", "ONE"),
    ),
    "MASTERDOWN": Answer(
        lambda client: (
            client.config_set("replica-serve-stale-data", "no"),
            client.replicaof(*_NO_MASTER),
        ),
        lambda client: (
            client.replicaof("NO", "ONE"),
            client.config_set("replica-serve-stale-data", "yes"),
        ),
    ),
    "OOM": Answer(
        lambda client: client.config_set("maxmemory", 1),
        lambda client: client.config_set("maxmemory", 0),
    ),
    "NOREPLICAS": Answer(
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
    ),
    "NOPERM": Answer(
        lambda client: client.execute_command("ACL", "SETUSER", "default", "-brpop", "-lpush", "-publish"),
        lambda client: client.execute_command("ACL", "SETUSER", "default", "+@all"),
    ),
    "WRONGTYPE": Answer(_misplace, _remove_misplaced),
}
