"""uvicorn's protocols, with bounds that it does not set."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_REQUEST_WITHIN = 10.0  # seconds


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
