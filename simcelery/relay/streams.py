"""What both ends of the relay do with two streams that become one. Neither ever holds more than a little."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

CHUNK = 65536  # bytes: most of what is read or sent at once
PING_EVERY, CLOSE_WITHIN = 10.0, 5.0  # seconds
SILENCE = 5.0  # seconds; in time to renew a lease
# Seconds; more than a slow server is waited for. Who is slow to take what was sent reads no ping before.
PATIENCE = 90.0


def give_up_after(connection: socket.socket, seconds: float) -> None:
    """Let a connection end, on Linux, if the other side's machine answers nothing for so long.

    TCP itself gives up after a quarter of an hour, and if it has nothing to send, never.
    """
    if sys.platform != "linux":
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        connection.setsockopt(socket.SOL_TCP, option, max(int(seconds / 2), 1))
    connection.setsockopt(socket.SOL_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


async def first_of(*ways: Coroutine[Any, Any, object]) -> None:
    """Go all these ways until one ends, and raise what it raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def close(writer: asyncio.StreamWriter) -> None:
    """Send what is left, and close; who does not take it in time is left alone."""
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN):
            await writer.wait_closed()
    writer.transport.abort()
