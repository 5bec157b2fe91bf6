"""Pages of tables that change by themselves: workers and clusters; limits, shared queues and schedules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simcelery.errors import SimceleryError
from simcelery.monitor.asking import ask
from simcelery.monitor.live import Live
from simcelery.monitor.page import Page
from simcelery.monitor.rendering import part
from simcelery.monitor.stream import Stream
from simcelery.monitor.tables import Jobs, Table, Word

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Seen:
    """What is seen of the tables that `read` returns. `away`: why nobody knows."""

    def __init__(self, tables: dict[str, Table], away: str = "") -> None:
        self.tables, self.away = tables, away


class Shown:
    """A page of tables: its name, which is that of its address, those of the tables, and what is seen."""

    def __init__(
        self, name: str, title: str, names: Sequence[str], read: Callable[[Connection], dict[str, Table]]
    ) -> None:
        self.name, self.title, self.names = name, title, names
        self.live = Live(lambda: _look(read))


async def _look(read: Callable[[Connection], dict[str, Table]]) -> Seen:
    return Seen(await ask(read))


async def _seen(look: Awaitable[Seen]) -> Seen:
    try:
        return await look
    except SimceleryError as error:
        return Seen({}, str(error))


class Tables(Page):
    """The page."""

    def initialize(self, shown: Shown) -> None:
        """From the list of addresses."""
        self._shown, self.place = shown, shown.name

    async def get(self) -> None:
        """All tables."""
        seen = await _seen(self._shown.live.recent())
        if seen.away:
            self.set_status(503)
        # Also of those that are not seen yet: their news need a place.
        found = dict.fromkeys(("away", *self._shown.names), "") | parts(self.application, seen)
        self.render("board/tables.html", title=self._shown.title, name=self._shown.name, parts=found)


class TablesLive(Stream):
    """What has changed of them since."""

    def initialize(self, shown: Shown) -> None:
        """From the list of addresses."""
        self._shown = shown

    async def look(self) -> dict[str, str]:
        """The newest of all."""
        return parts(self.application, await _seen(self._shown.live.newest()))

    def pause(self) -> float:
        """Until there may be something new."""
        return self._shown.live.pause()


@lru_cache(maxsize=4)
def parts(application: Any, seen: Seen) -> dict[str, str]:
    """The tables by their names; of a board that is away only that it is: the tables stay."""
    kinds = {"is_word": lambda cell: isinstance(cell, Word), "is_jobs": lambda cell: isinstance(cell, Jobs)}
    away = part(application, "away", said=seen.away) if seen.away else ""
    found = {name: part(application, "table", table=table, **kinds) for name, table in seen.tables.items()}
    return {"away": away, **found}
