"""News of a page, sent to a browser as they come: server-sent events."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from tornado.iostream import StreamClosedError

from simcelery.monitor.page import Page


class Stream(Page):
    """Sends the parts of a page that have changed, as long as somebody looks.

    A browser whose connection was lost connects again, and gets everything.
    """

    async def look(self) -> dict[str, str]:
        """The newest of all parts, each as HTML."""
        raise NotImplementedError

    def pause(self) -> float:
        """Seconds until there may be something new."""
        raise NotImplementedError

    def begin(self, *path: str) -> None:
        """Before the first look, with what its address says."""

    async def get(self, *path: str) -> None:
        """The stream."""
        self.begin(*path)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")  # of nginx, which would collect them
        self._left = asyncio.Event()
        sent: dict[str, str] = {}
        with suppress(StreamClosedError):
            while not self._left.is_set():
                found = await self.look()
                news = {name: html for name, html in found.items() if sent.get(name) != html}
                # A comment where there is nothing new: whoever has gone without a word is noticed.
                self.write(f"event: parts\ndata: {json.dumps(news)}\n\n" if news else ":\n\n")
                await self.flush()
                sent |= news
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._left.wait(), max(self.pause(), 0.1))

    def on_connection_close(self) -> None:
        """Nobody looks any more."""
        super().on_connection_close()
        if hasattr(self, "_left"):
            self._left.set()
