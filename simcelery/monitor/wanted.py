"""Which jobs a page shows: the filters of the command line, in its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from simcelery.board.reads import Filter
from simcelery.errors import UsageError
from simcelery.quantities import LARGEST
from simcelery.submission.manage import jobs


@dataclass(frozen=True)
class Wanted:
    """What was asked for, as it was written.

    Attributes:
        tag: one or several, with commas.
        before, after: the edge of the page, as `reads.pages` means it.
    """

    state: tuple[str, ...] = ()
    workflow: str = ""
    queue: str = ""
    tag: str = ""
    since: str = ""
    where: str = ""
    before: int | None = None
    after: int | None = None

    def which(self) -> Filter:
        """As a filter for the board.

        Raises:
            UsageError: something in it means nothing.
        """
        return jobs(
            state=self.state,
            workflow=self.workflow or None,
            queue=self.queue or None,
            tags=[tag for tag in map(str.strip, self.tag.split(",")) if tag],
            since=self.since or None,
            where=self.where or None,
        ).which

    def narrows(self) -> bool:
        """Whether it leaves any jobs out."""
        return self.which() != Filter()

    def given(self) -> list[tuple[str, str]]:
        """What of it was asked for, by its names in an address."""
        return [
            (name, str(each))
            for name, value in vars(self).items()
            for each in (value if isinstance(value, tuple) else (value,))
            if each not in ("", None)
        ]

    def query(self, **changes: Any) -> str:
        """It as the end of an address, but for what is changed."""
        given = replace(self, **changes).given()
        return f"?{urlencode(given)}" if given else ""


def of_arguments(arguments: dict[str, Sequence[str]]) -> Wanted:
    """What the arguments of an address ask for; others are left alone.

    Raises:
        UsageError: an edge is no id of a job.
    """
    one = {name: values[-1] for name, values in arguments.items() if values}
    return Wanted(
        state=tuple(filter(None, arguments.get("state", ()))),
        workflow=one.get("workflow", ""),
        queue=one.get("queue", ""),
        tag=one.get("tag", ""),
        since=one.get("since", ""),
        where=one.get("where", ""),
        before=_edge("before", one.get("before")),
        after=_edge("after", one.get("after")),
    )


def _edge(name: str, text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST):
        raise UsageError(f"{name} must be the id of a job")
    return int(text)
