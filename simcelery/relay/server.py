"""The relay itself, an ASGI application: a WebSocket at /board leads to Postgres, one at /broker to Redis.

Nowhere else, and for nobody without a token. It decides nothing: who may do what is said by the servers'
passwords, and who runs a job by the claim. What it carries it cannot read if the servers speak TLS.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path
from typing import Any

from simcelery import urls
from simcelery.errors import UsageError
from simcelery.relay import tokens
from simcelery.relay.streams import (
    CHUNK,
    CLOSE_WITHIN,
    PATIENCE,
    PING_EVERY,
    SILENCE,
    close,
    first_of,
    give_up_after,
)
from simcelery.relay.tunnel import BOARD, BROKER
from simcelery.settings import Settings

log = logging.getLogger(__name__)

_WITHIN = 5.0  # seconds: how long a server, and the disk with the tokens, is waited for
_SAY_EVERY = 10.0  # seconds: that somebody was refused; who has no token shall not fill the disk

Place = tuple[str, int]  # host and port, or the path of a socket


def places(settings: Settings) -> dict[str, Place]:
    """Where board and broker are, as the settings say.

    Raises:
        UsageError: one of them has several hosts; which of them to use is for the driver to say.
        ServicesNotRunningError: no URL is set and the embedded servers are not running.
    """
    board = urls.postgres_arguments(settings.board_url())
    [(name, number), *_] = urls.broker_hosts(settings.redis_url())
    host, port = str(board.get("host", "localhost")), str(board.get("port", 5432))
    if "," in host:
        raise UsageError(
            "a relay leads to one host: let database_url name PgBouncer, or a proxy, before several"
        )
    if urls.is_sentinel(settings.redis_url()):
        raise UsageError("a relay leads to one host: let broker_url name a proxy before those of sentinels")
    return {
        BOARD: (f"{host}/.s.PGSQL.{port}" if host[0] == "/" else host, int(port)),
        BROKER: (name or "localhost", number),
    }


class Relay:
    """The application.

    Parameters:
        servers: where each service is.
        home: where its tokens are.
    """

    def __init__(self, servers: dict[str, Place], home: Path) -> None:
        self._servers = servers
        self._home = home
        self._revoked: dict[str, asyncio.Event] = {}  # of each token with which something was opened
        self._refused, self._say_again = 0, 0.0  # since the last such line; when there may be another one

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await _refuse(send, 404, scope["type"])
            return
        await receive()  # the request itself
        token, client = _token(scope), ":".join(map(str, scope.get("client") or ("unknown",)))
        try:
            async with asyncio.timeout(_WITHIN):
                name = await asyncio.to_thread(tokens.holder, self._home, token)
        except OSError as error:
            self._say_refused(client, f"its token cannot be looked up: {_in_words(error)}")
            await _refuse(send, 503)
            return
        service = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        if name is None or service not in self._servers:
            self._say_refused(client, "no such path" if name else "its token does not hold")
            await _refuse(send, 404 if name else 401)
            return
        who = f"{name} from {client}: the {service}"
        try:
            server = await _connected(*self._servers[service])
        except OSError as error:
            log.warning("%s cannot be reached: %s", who, _in_words(error))
            await _refuse(send, 502)
            return
        log.info("%s, connected", who)
        begun, sizes = time.monotonic(), [0, 0]
        try:
            await send({"type": "websocket.accept"})
            up, down = _up(receive, server[1], sizes), _down(server[0], send, sizes)
            await first_of(up, down, self._revoked.setdefault(token, asyncio.Event()).wait())
            async with asyncio.timeout(CLOSE_WITHIN):  # who takes nothing takes no farewell
                await send({"type": "websocket.close"})
        except OSError:  # one side is gone: so the other one is told, too
            pass
        finally:
            await close(server[1])
            took = time.monotonic() - begun
            log.info("%s, ended after %.1f s; bytes there: %d, back: %d", who, took, *sizes)

    def _say_refused(self, client: str, why: str) -> None:
        self._refused += 1
        now = time.monotonic()
        if now >= self._say_again:
            others = f"; refused since the last such line: {self._refused}" if self._refused > 1 else ""
            log.warning("%s: refused, %s%s", client, why, others)
            self._refused, self._say_again = 0, now + _SAY_EVERY

    async def look(self) -> None:
        """End what was opened with tokens that are revoked: the server calls this every second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN):
                for token in await asyncio.to_thread(self._gone, list(self._revoked)):
                    self._revoked.pop(token).set()

    def _gone(self, used: list[str]) -> list[str]:
        found = []
        for token in used:
            with suppress(OSError):  # nobody can say, so what is open stays open
                if tokens.holder(self._home, token) is None:
                    found.append(token)
        return found


async def _up(receive: Any, server: StreamWriter, sizes: list[int]) -> None:
    """What the worker says; more is only asked for when the server has taken this."""
    while (event := await receive())["type"] == "websocket.receive":
        data = event.get("bytes") or b""
        sizes[0] += len(data)
        server.write(data)
        await server.drain()


async def _down(server: StreamReader, send: Any, sizes: list[int]) -> None:
    """What the server says."""
    while data := await server.read(CHUNK):
        sizes[1] += len(data)
        await send({"type": "websocket.send", "bytes": data})


def _token(scope: Any) -> str:
    value = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    return str(value[7:]) if value[:7].lower() == "bearer " else ""


async def _refuse(send: Any, status: int, kind: str = "websocket.http") -> None:
    headers = [(b"connection", b"close")]
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": b""})


def _in_words(error: OSError) -> str:
    return str(error) or "no answer"


async def _connected(host: str, port: int) -> tuple[StreamReader, StreamWriter]:
    async with asyncio.timeout(_WITHIN):
        if host.startswith("/"):
            return await asyncio.open_unix_connection(host, limit=CHUNK)
        made = await asyncio.open_connection(host, port, limit=CHUNK)
    give_up_after(made[1].get_extra_info("socket"), SILENCE)
    return made


def serve(relay: Relay, listening: socket.socket, certificate: str | None, key: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    import uvicorn

    from simcelery.relay.protocols import Request, Tunnel

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where the system has fewer than that
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection takes two
    give_up_after(listening, PATIENCE)  # what it accepts is like it
    looks: dict[str, Any] = {"callback_notify": relay.look, "timeout_notify": 0}  # with each tick: a second
    bounds: dict[str, Any] = {"ws_max_size": 2 * CHUNK}
    bounds |= {"ws_ping_interval": PING_EVERY, "ws_ping_timeout": PATIENCE}
    bounds |= {"timeout_graceful_shutdown": int(CLOSE_WITHIN), "ws_per_message_deflate": False}
    quiet: dict[str, Any] = {"log_config": None, "log_level": "error", "access_log": False}
    # Where there is no web server before it, whoever connects could say that he is another.
    files: dict[str, Any] = {
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
        "proxy_headers": not certificate,
    }
    speaks: dict[str, Any] = {"http": Request, "ws": Tunnel, "lifespan": "off"}
    config = uvicorn.Config(relay, **speaks, **bounds, **looks, **quiet, **files)
    uvicorn.Server(config).run(sockets=[listening])
