"""The forwarder, a process of its own on a worker's node: what connects to it goes on through the relay.

A connection that cannot go on is closed: for who made it, a server cannot be reached, and is worth another
try later. What is wrong is said in a file that all of them share.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import threading
from asyncio import StreamReader, StreamWriter
from functools import partial
from pathlib import Path
from typing import Any

from simcelery.relay.streams import CHUNK, PATIENCE, PING_EVERY, SILENCE, close, first_of, give_up_after
from simcelery.relay.tunnel import MOST_SAID

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
except ImportError:
    sys.exit(print("relay_url needs another package: pip install 'simcelery[relay]'", flush=True))

_ANSWERS = {
    401: "it refuses the token: set relay_token to one that it knows, and that was not revoked",
    404: "there is no relay of simcelery at this URL",
    502: "it cannot reach the server behind it",
    503: "it cannot say whether the token holds: look at its log",
}


async def serve(told: dict[str, Any]) -> None:
    """Listen for ever, on the sockets that `tunnel` tells of."""
    context = ssl.create_default_context(cafile=told["ca"])
    for service, descriptor in told["sockets"].items():
        forward, listening = partial(_forward, told, context, service), socket.socket(fileno=descriptor)
        await asyncio.start_server(forward, sock=listening, limit=CHUNK)
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _forward(
    told: dict[str, Any], context: ssl.SSLContext, service: str, reader: StreamReader, writer: StreamWriter
) -> None:
    trouble = ""
    try:
        if not is_own(writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1]):
            return
        async with connect(
            f"wss{told['url'].removeprefix('https').rstrip('/')}/{service}",
            additional_headers={"Authorization": f"Bearer {told['token']}"},
            ssl=context,
            compression=None,
            max_size=2 * CHUNK,
            max_queue=4,
            ping_interval=PING_EVERY,
            ping_timeout=PATIENCE,
        ) as relay:
            _say(told, "")
            give_up_after(relay.transport.get_extra_info("socket"), SILENCE)
            await first_of(_up(reader, relay), _down(relay, writer))
    except ConnectionClosed as error:
        trouble = "" if error.rcvd else "the connection to it was lost"
    except (OSError, WebSocketException) as error:
        trouble = _in_words(error)
    finally:
        _say(told, trouble)
        await close(writer)


def _say(told: dict[str, Any], words: str) -> None:
    os.pwrite(told["said"], words.encode()[:MOST_SAID].ljust(MOST_SAID, b"\0"), 0)


async def _up(reader: StreamReader, relay: ClientConnection) -> None:
    while data := await reader.read(CHUNK):
        await relay.send(data)


async def _down(relay: ClientConnection, writer: StreamWriter) -> None:
    async for data in relay:
        writer.write(data if isinstance(data, bytes) else data.encode())
        await writer.drain()


def is_own(peer: int, here: int) -> bool:
    """Whether the other end of a connection on the loopback, from port to port, is this user's."""
    table = Path("/proc/net/tcp")
    if not table.exists():  # not Linux: there only the servers' passwords keep others out
        return True
    address = int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
    wanted = [f"{address:08X}:{port:04X}" for port in (peer, here)]
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return any(row[1:3] == wanted and int(row[7]) == os.getuid() for row in rows)


def _in_words(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return _ANSWERS.get(error.response.status_code, str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}; relay_ca names the file of your own CA"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def main() -> None:
    """Serve until nobody needs it, and not only until a scheduler sends SIGTERM to all of a batch job."""
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    told = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        asyncio.run(serve(told))
    except OSError as error:  # those of TLS are, too
        print(f"relay_ca: {told['ca']} cannot be used: {error.strerror or error}", flush=True)


def _end_with_input() -> None:
    """When the input ends, nobody is left to say anything to.

    Read without Python's buffer: its lock would be held for ever, and the interpreter cannot end without it.
    """
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
