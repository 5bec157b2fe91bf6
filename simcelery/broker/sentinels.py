"""Redis Sentinel: servers that watch others, and tell which of them is the master that takes messages.

Every new connection asks them, so that after a failover all go on with the new master.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.connection import Connection
from kombu.transport import redis as transport
from kombu.utils.url import parse_url, url_to_parts
from redis.sentinel import MasterNotFoundError, SentinelManagedConnection

from simcelery import urls

_ports: set[int] = set()


class Managed(SentinelManagedConnection):
    """A connection to the master."""

    def connect_to(self, address: tuple[str, int]) -> None:
        """As in the base class; the port is noted, since no setting tells it."""
        _ports.add(int(address[1]))
        super().connect_to(address)  # type: ignore[no-untyped-call]

    def connect(self) -> None:
        """As in the base class, which says of sentinels that do not answer what they are in memory.

        Raises:
            MasterNotFoundError: one line says why no sentinel tells where the master is.
        """
        try:
            super().connect()  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            watching = self.connection_pool.sentinel_manager.sentinels
            trouble = next(filter(None, map(_trouble, watching)), None)
            known = f"they know no master {self.connection_pool.service_name!r} that is alive"
            raise MasterNotFoundError(str(trouble or known)) from trouble


def _trouble(sentinel: redis.Redis) -> Exception | None:
    try:
        sentinel.ping()
    except redis.RedisError as error:
        return error
    return None


class ManagedTLS(Managed, redis.SSLConnection):
    """The same, with TLS."""


class Channel(transport.SentinelChannel):  # type: ignore[misc]
    """kombu's channel, with these connections."""

    connection_class: Any = Managed
    connection_class_ssl: Any = ManagedTLS


class Transport(transport.SentinelTransport):  # type: ignore[misc]
    """kombu's transport, with this `Channel`."""

    Channel = Channel


def options(known: urls.Sentinels) -> dict[str, Any]:
    """kombu's transport options for them."""
    first, _, _ = known.for_kombu().partition(";")  # of TLS, each URL says the same
    tls = {"ssl": True, **parse_url(first)["ssl"]} if known.tls else {}
    longest = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), 5)  # for one that is silent
    return {"master_name": known.master, "sentinel_kwargs": {**longest, **known.login, **tls}}


def hosts(connection: Connection) -> list[str]:
    """Those of the sentinels, and of the master; none if the connection has nothing to do with sentinels."""
    if not isinstance(connection.transport, Transport):
        return []
    watching = [str(url_to_parts(url).hostname) for url in connection.alt] or [str(connection.hostname)]
    master, _ = connection.default_channel.client.connection_pool.get_master_address()
    return [*watching, str(master)]


def ports_met() -> set[int]:
    """The ports of all masters to which this process, or what it was forked from, has connected."""
    return set(_ports)
