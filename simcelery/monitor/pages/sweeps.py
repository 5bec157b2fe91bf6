"""A sweep as a chart: what varies in its jobs, against what they gave."""

from __future__ import annotations

from functools import partial

from simcelery.board.states import State
from simcelery.errors import UsageError
from simcelery.monitor import sweeps
from simcelery.monitor.asking import ask, do
from simcelery.monitor.page import status_of
from simcelery.monitor.pages.jobs import Filtered
from simcelery.monitor.sweeps import Chosen, Offered, Points, Recent
from simcelery.monitor.wanted import Wanted


class Sweeps(Filtered):
    """The jobs that were chosen, as points; without a choice, what there was lately."""

    place = "sweeps"

    async def get(self) -> None:
        """The page."""
        wanted, chosen, offered, wrong = Wanted(), Chosen({}), Offered(), ""
        axes, points = ("", ""), None
        recent: list[Recent] = []
        try:
            wanted = self.wanted()
            if wanted.narrows():
                chosen = await ask(partial(sweeps.choose, which=wanted.which()))
                offered = await do(partial(sweeps.offer, chosen.sample()))
                axes = offered.axes(*(self.get_query_argument(name, "") for name in ("x", "y")))
                points = await self._points(chosen, offered, axes)
            else:
                recent = await ask(sweeps.recent)
        except UsageError as error:
            wrong = str(error)
            self.set_status(status_of(error))
        self.render(
            "board/sweeps.html",
            wanted=wanted,
            wrong=wrong,
            states=list(State),
            recent=recent,
            chosen=chosen,
            offered=offered,
            axes=axes,
            points=points,
            most=sweeps.MOST,
            listed=sweeps.LISTED,
        )

    async def _points(self, chosen: Chosen, offered: Offered, axes: tuple[str, str]) -> Points:
        return await ask(lambda it: sweeps.place(it, chosen, offered, *axes))
