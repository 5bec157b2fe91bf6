"""Passing connections on to a server of this machine."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def forwarded(
    listener: socket.socket, port: int, context: ssl.SSLContext | None = None, *, asked: bool = False
) -> Iterator[None]:
    """What reaches the listener goes on to 127.0.0.1 at `port`; with a `context` it is TLS that ends here.

    Parameters:
        asked: TLS begins when the client has asked for it, as Postgres's do.
    """

    opened: set[asyncio.StreamWriter] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        with suppress(OSError, asyncio.IncompleteReadError):
            if context and asked:
                await _agree(reader, writer)
                await writer.start_tls(context)
            inside = await asyncio.open_connection("127.0.0.1", port)
            ends.add(inside[1])
            opened.update(ends)
            await asyncio.gather(_pump(reader, inside[1]), _pump(inside[0], writer))
        opened.difference_update(ends)
        writer.transport.abort()

    async def end() -> None:
        """Close the listener and cut all connections: who is far away may hear nothing of it."""
        server.close()
        for one in opened:
            one.transport.abort()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(connect, sock=listener, ssl=None if asked else context)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say yes to a client of Postgres that wants TLS, and no to one that wants GSSAPI first."""
    while int.from_bytes((await reader.readexactly(8))[4:]) != _WANTS_TLS:
        writer.write(b"N")
    writer.write(b"S")
    await writer.drain()


_WANTS_TLS = 80877103


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()
