"""The connections to board and broker that a pool child keeps from job to job."""

from __future__ import annotations

import os
import socket

from simcelery import urls
from simcelery.broker import sentinels
from simcelery.errors import SimceleryError
from simcelery.relay import tunnel
from simcelery.settings import get_settings


def is_ours(descriptor: int) -> bool:
    """Whether it leads to the board or to the broker."""
    copy = os.dup(descriptor)
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # it is no socket
        os.close(copy)
        return False
    with connection:
        try:
            peer = connection.getpeername()
        except OSError:
            return False
    if isinstance(peer, tuple):
        return peer[1] in _ports()
    return isinstance(peer, str) and bool(peer)


def _ports() -> set[int]:
    settings = get_settings()
    try:
        board, broker = settings.board_url(), settings.redis_url()
    except SimceleryError:
        return set()
    found = {port for _, port in urls.postgres_hosts(board) + urls.broker_hosts(broker)}
    return found | sentinels.ports_met() | tunnel.ports()
