"""Loopback ports for the servers."""

from __future__ import annotations

import random
import socket

from simcelery.errors import ServiceError

# Below the ranges that systems use for outgoing connections: such a connection could hold our port just
# when the server wants it back, and the URL would have to change.
_RANGE = range(17_000, 30_000)


class PortTakenError(ServiceError):
    """Another process took the port between choosing it and starting. Handled here: another port is tried."""


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do, ignore old connections that are waiting to expire.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port() -> int:
    """A free port, chosen at random so that two homes that start at once rarely choose the same one."""
    return next(port for port in random.sample(_RANGE, len(_RANGE)) if port_is_free(port))
