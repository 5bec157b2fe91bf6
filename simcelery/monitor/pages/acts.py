"""What can be done with one job: cancel, hold and release it, and retry it, perhaps with other parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from simcelery.board.reads import Filter
from simcelery.errors import StateError, UsageError
from simcelery.monitor import access
from simcelery.monitor.asking import do
from simcelery.monitor.page import Page
from simcelery.monitor.pages.job import Watched
from simcelery.submission import actions, holding, releasing, revising


class Act(Page):
    """An act, which leads back to the job's page."""

    place = "jobs"

    def initialize(self, watched: Watched) -> None:
        """From the list of addresses."""
        self._watched = watched

    @property
    def back(self) -> tuple[str, str]:
        """The job."""
        number = self.path_args[0]
        return self.reverse_url("board_job", number), f"job {number}"

    async def post(self, number: str, act: str) -> None:
        """Do it.

        Raises:
            UsageError: it cannot be done.
        """
        access.check_may_act(self)
        live = self._watched.of(number)
        given = {name: self.get_body_argument(name, "") for name in ("values", "with_parents")}
        await do(partial(_ACTS[act], int(number), given, access.who(self)))
        live.forget()
        self.redirect(self.reverse_url("board_job", number), status=303)


def _cancel(number: int, given: Mapping[str, str], who: str) -> None:
    if actions.cancel([number], by=who) == ([], []):
        raise StateError(f"job {number} has ended already")


def _retry(number: int, given: Mapping[str, str], who: str) -> None:
    revisions = revising.plan([number], _values(given["values"])) if given["values"].strip() else None
    actions.retry(
        [number], strict=True, with_parents=bool(given["with_parents"]), revisions=revisions, by=who
    )


def _values(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f'the new values are no JSON: {error}; write {{"fmax": 0.02}}') from None
    if not isinstance(found, dict):
        raise UsageError('the new values must have names: write {"fmax": 0.02}')
    return found


def _hold(number: int, given: Mapping[str, str], who: str) -> None:
    if not holding.hold(Filter(ids=[number]), by=who):
        raise StateError(f"job {number} does not wait, or is held already")


def _release(number: int, given: Mapping[str, str], who: str) -> None:
    if not releasing.release(Filter(ids=[number]), by=who):
        raise StateError(f"job {number} is not held")


_ACTS: Mapping[str, Callable[[int, Mapping[str, str], str], None]] = {
    "cancel": _cancel,
    "retry": _retry,
    "hold": _hold,
    "release": _release,
}
