"""Jobs, newest first, page by page, and why they failed, in groups: both with the same filters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from simcelery.board import reads
from simcelery.board.reads import pages, summaries
from simcelery.board.states import State
from simcelery.describe import error_groups, job
from simcelery.errors import SimceleryError, UsageError
from simcelery.monitor import access
from simcelery.monitor.asking import ask
from simcelery.monitor.page import Page, status_of
from simcelery.monitor.wanted import Wanted, of_arguments
from simcelery.tables import doubts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.reads.summaries import ErrorGroup

ON_A_PAGE = 50
_ARGUMENTS = ("state", "workflow", "queue", "tag", "since", "where", "before", "after")


@dataclass(frozen=True)
class Found:
    """A page of jobs, and the addresses of the pages beside it, as far as there are any."""

    rows: list[JobRow]
    newer: str | None = None
    older: str | None = None
    doubt: str = ""


class Filtered(Page):
    """A page with filters. What is wrong with them is said beside them, so that it can be corrected."""

    def wanted(self) -> Wanted:
        """What its address asks for."""
        # Tornado's own: Flower's would be escaped a second time.
        return of_arguments({name: self.get_query_arguments(name) for name in _ARGUMENTS})


class Jobs(Filtered):
    """The list."""

    place = "jobs"

    async def get(self) -> None:
        """A page of it."""
        wanted, found, wrong = Wanted(), Found([]), ""
        try:
            wanted = self.wanted()
            found = await ask(partial(_page, wanted))
        except UsageError as error:
            wrong = str(error)
            self.set_status(status_of(error))
        self.render(
            "board/jobs.html",
            wanted=wanted,
            found=found,
            wrong=wrong,
            states=list(State),
            in_words=job,
            may_act=access.may_act(self),
        )


class Errors(Filtered):
    """The groups."""

    place = "errors"

    async def get(self) -> None:
        """All of them, the largest first."""
        wanted, wrong = Wanted(), ""
        found: list[ErrorGroup] = []
        try:
            wanted = self.wanted()
            which = wanted.which()
            found = await ask(lambda it: summaries.errors(it, which, error_groups.NEWEST))
        except UsageError as error:
            wrong = str(error)
            self.set_status(status_of(error))
        self.render(
            "board/errors.html",
            wanted=wanted,
            found=found,
            wrong=wrong,
            states=[State.FAILED, State.CANCELLED, State.UPSTREAM_FAILED],
            newest=error_groups.NEWEST if sum(group.count for group in found) == error_groups.NEWEST else 0,
            in_words=error_groups,
        )


def _page(wanted: Wanted, connection: Connection) -> Found:
    which = wanted.which()
    page = pages.Page.of(which, before=wanted.before, after=wanted.after)
    # One more than is shown, to know whether there are more.
    rows = reads.jobs(connection, page, limit=ON_A_PAGE + 1, newest=not page.follows)
    more, rows = len(rows) > ON_A_PAGE, rows[:ON_A_PAGE]
    if page.follows:
        rows.reverse()
    if not rows:
        return Found([], doubt=_doubt(which))
    newer = wanted.query(before=None, after=rows[0].id)
    older = wanted.query(before=rows[-1].id, after=None)
    has_newer = more if page.follows else wanted.before is not None
    return Found(rows, newer if has_newer else None, older if more or page.follows else None)


def _doubt(which: reads.Filter) -> str:
    """What in the condition may be misspelt."""
    try:
        return doubts.said(which) if which.where is not None else ""
    except SimceleryError:  # only a hint
        return ""
