"""uvicorn's protocols, with bounds that it does not set."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from simcelery.relay.streams import CHUNK

_REQUEST_WITHIN = 10.0  # seconds
_MOST_UNTAKEN = 16 * CHUNK  # bytes; what a server says stops long before, at half of that with TLS
_MOST_PARTS = 1000  # of a message


class Request(H11Protocol):
    """Ends a connection on which no whole request has come in time."""

    scope: Any  # None until then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self.loop.call_later(_REQUEST_WITHIN, self._give_up)

    def _give_up(self) -> None:
        if self.scope is None:
            self.transport.abort()


class Tunnel(WebSocketsSansIOProtocol):
    """Ends a connection that would fill the memory although the application holds back.

    Pings are answered whether or not the answers are taken, and parts of a message, which may be empty, are
    kept until it is whole.
    """

    def data_received(self, data: bytes) -> None:
        """Read on, or not."""
        if self.transport.get_write_buffer_size() > _MOST_UNTAKEN or len(self.frames) > _MOST_PARTS:
            self.transport.abort()
        else:
            super().data_received(data)
