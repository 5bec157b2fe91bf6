"""The overview, and its news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from simcelery.errors import SimceleryError
from simcelery.monitor import overview
from simcelery.monitor.asking import ask
from simcelery.monitor.live import Live
from simcelery.monitor.overview import Notice
from simcelery.monitor.overview import Overview as Seen
from simcelery.monitor.page import Page
from simcelery.monitor.rendering import part
from simcelery.monitor.stream import Stream

_PATIENCE = 0.2  # seconds that the page waits for what is seen
# What changes by itself, each as a template of its own.
_PARTS = ("notices", "states", "hour", "queues", "workflows")


async def look() -> Seen:
    """How the board stands."""
    return await ask(overview.read)


async def _seen(look: Awaitable[Seen]) -> Seen | SimceleryError:
    """It, or why nobody knows."""
    try:
        return await look
    except SimceleryError as error:
        return error


class Overview(Page):
    """The whole board at a glance."""

    place = "overview"

    def initialize(self, live: Live[Seen]) -> None:
        """From the list of addresses."""
        self._live = live

    async def get(self) -> None:
        """The page; of a board of millions, or a slow one, what is seen comes with its first news."""
        found = dict.fromkeys(_PARTS, "")
        with suppress(TimeoutError):
            seen = await asyncio.wait_for(_seen(self._live.recent()), _PATIENCE)
            found |= parts(self.application, seen)
            if isinstance(seen, SimceleryError):
                self.set_status(503)
        self.render("board/overview.html", parts=found)


class OverviewLive(Stream):
    """What has changed of it since."""

    def initialize(self, live: Live[Seen]) -> None:
        """From the list of addresses."""
        self._live = live

    async def look(self) -> dict[str, str]:
        """The newest of all parts."""
        return parts(self.application, await _seen(self._live.newest()))

    def pause(self) -> float:
        """Until there may be something new."""
        return self._live.pause()


@lru_cache(maxsize=2)  # however many look at it
def parts(application: Any, seen: Seen | SimceleryError) -> dict[str, str]:
    """The parts of the page, by name. Of a board that does not answer only the notice: the others stay."""
    if isinstance(seen, SimceleryError):
        return {"notices": part(application, "overview/notices", notices=[Notice("danger", str(seen))])}
    return {name: part(application, f"overview/{name}", seen=seen, notices=seen.notices) for name in _PARTS}
