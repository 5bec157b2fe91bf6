"""Acts on all jobs that match: asked for once more, with their number, and then watched."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from tornado.web import HTTPError

from simcelery.board.states import State
from simcelery.monitor import access, many
from simcelery.monitor.asking import ask
from simcelery.monitor.many import Undertaking, Undertakings
from simcelery.monitor.page import Page
from simcelery.monitor.pages.jobs import Filtered
from simcelery.monitor.rendering import part
from simcelery.monitor.stream import Stream

_EVERY = 0.5  # seconds between two looks at how far it has come


class Many(Filtered):
    """The question, and the answer to it."""

    place = "jobs"

    def initialize(self, undertakings: Undertakings) -> None:
        """From the list of addresses."""
        self._undertakings = undertakings

    async def get(self, act: str) -> None:
        """How many jobs it would be done to."""
        access.check_may_act(self)
        which = many.chosen(self.wanted())
        self._show(act, await ask(partial(many.counts, which=which, act=act)))

    async def post(self, act: str) -> None:
        """Begin, if there are as many as whoever asks for it believes; otherwise say how many there are."""
        access.check_may_act(self)
        which = many.chosen(self.wanted())
        ids = await ask(partial(many.ids, which=which, act=act))
        typed = self.get_body_argument("number", "").replace(",", "").strip()
        if not ids or typed != str(len(ids)):
            self.set_status(409)
            self._show(act, await ask(partial(many.counts, which=which, act=act)), typed)
            return
        with_parents = bool(self.get_body_argument("with_parents", ""))
        begun = Undertaking(act, access.who(self), ids, self.wanted().query(), with_parents)
        number = self._undertakings.add(begun)
        self._undertakings.keep(asyncio.create_task(begun.carry_out(self._undertakings.turns)))
        self.redirect(self.reverse_url("board_undertaking", number), status=303)

    def _show(self, act: str, counts: dict[State, int], typed: str | None = None) -> None:
        number = sum(counts.values())
        self.render(
            "board/many.html", wanted=self.wanted(), act=act, number=number, counts=counts, typed=typed
        )


class _OfOne:
    """Whatever shows an undertaking."""

    def initialize(self, undertakings: Undertakings) -> None:
        """From the list of addresses."""
        self._undertakings = undertakings

    def find(self, number: str) -> Undertaking:
        """The one of that number.

        Raises:
            HTTPError: it is not known.
        """
        found = self._undertakings.get(int(number)) if len(number) < 20 else None
        if found is None:
            raise HTTPError(404, "this monitor knows of no such act; the jobs themselves say how they stand")
        return found


class Watched(_OfOne, Page):
    """How far one has come."""

    place = "jobs"

    async def get(self, number: str) -> None:
        """The page."""
        one = self.find(number)
        self.render("board/undertaking.html", one=one, number=number, parts=parts(self.application, one))


class WatchedLive(_OfOne, Stream):
    """The same, as it goes on."""

    def begin(self, *path: str) -> None:
        """Find it."""
        [number] = path
        self._one = self.find(number)

    async def look(self) -> dict[str, str]:
        """How far it has come."""
        return parts(self.application, self._one)

    def pause(self) -> float:
        """Until there may be something new."""
        return _EVERY


def parts(application: Any, one: Undertaking) -> dict[str, str]:
    """What changes on the page."""
    return {"progress": part(application, "progress", one=one)}
