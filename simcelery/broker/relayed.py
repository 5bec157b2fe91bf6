"""Connections to Redis that go through a relay, if there is one."""

from __future__ import annotations

import socket
from typing import Any

import redis
from kombu.transport import redis as transport

from simcelery.relay import tunnel


class Relayed(redis.Connection):
    """A connection whose host keeps its name, for the server's certificate, wherever it really leads to."""

    def _connect(self) -> socket.socket:
        port = tunnel.port(tunnel.BROKER)
        if port is None:
            return super()._connect()  # type: ignore[no-any-return]
        named = self.host, self.port
        self.host, self.port = tunnel.HERE, port
        try:
            return super()._connect()  # type: ignore[no-any-return]
        finally:
            self.host, self.port = named


class RelayedTLS(redis.SSLConnection, Relayed):
    """The same, with TLS to Redis itself."""


class Channel(transport.Channel):  # type: ignore[misc]
    """kombu's channel, whose connections may go through a relay."""

    connection_class: Any = Relayed
    connection_class_ssl: Any = RelayedTLS


class Transport(transport.Transport):  # type: ignore[misc]
    """kombu's transport, with this `Channel`."""

    Channel = Channel
