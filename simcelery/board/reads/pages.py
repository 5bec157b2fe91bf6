"""A filter with an edge, to read many jobs in pages: each is found by its ids, however far back it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from sqlalchemy import ColumnElement, Connection, select

from simcelery.board import engine
from simcelery.board.models import Job
from simcelery.board.reads.jobs import Filter

T = TypeVar("T")
AT_ONCE = 1000


@dataclass(frozen=True)
class Page(Filter):
    """Those jobs of a filter that were recorded before or after a certain job."""

    before: int | None = None
    after: int | None = None

    @classmethod
    def of(cls, which: Filter, *, before: int | None = None, after: int | None = None) -> Self:
        """A filter's jobs, up to these edges."""
        return cls(**vars(which), before=before, after=after)

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        found = super().conditions()
        if self.before is not None:
            found.append(Job.id < self.before)
        if self.after is not None:
            found.append(Job.id > self.after)
        return found

    @property
    def follows(self) -> bool:
        """Whether the jobs next to `after` come first, rather than the newest."""
        return self.after is not None and self.before is None


def ids(connection: Connection, page: Page, *, limit: int | None, newest: bool = True) -> list[int]:
    """The ids of a page, newest first unless told otherwise."""
    # Not by the primary key where tags are wanted: Postgres might read all jobs that have others.
    number = Job.id + 0 if page.tags else Job.id
    order = number.desc() if newest else number.asc()
    return list(connection.scalars(select(Job.id).where(*page.conditions()).order_by(order).limit(limit)))


def walk(
    page: Page,
    read: Callable[..., list[T]],
    id_of: Callable[[T], int],
    *,
    limit: int | None = None,
    newest: bool = True,
    at_once: int = AT_ONCE,
) -> Iterator[list[T]]:
    """The jobs of a page, newest first unless told otherwise, a thousand or `at_once` at a time.

    Each of these parts is read in a short transaction, so that any number fits into memory.

    Parameters:
        read: `ids` of this module, or `reads.jobs`.
        id_of: the id of one of the things that `read` returns.

    Raises:
        As `engine.begin`.
    """
    left = limit or sys.maxsize
    parts = _parts(page, limit, newest)
    part = next(parts, None)
    while part and left:
        size = min(at_once, left)
        with engine.begin() as connection:
            some = read(connection, part, limit=size, newest=newest)
        if not some:  # one that has fewer than were asked for may have left out what cannot be read
            part = next(parts, None)
            continue
        yield some
        left -= len(some)
        last = id_of(some[-1])
        part = replace(part, before=last) if newest else replace(part, after=last)


def _parts(page: Page, limit: int | None, newest: bool) -> Iterator[Page]:
    """The page; if it lists ids, which ascend, then in parts, so that not all are sent each time."""
    if page.ids is None and page.tags:
        # No index has tags in the order of the ids: they are sorted once, not for every thousand.
        with engine.begin() as connection:
            page = replace(page, ids=sorted(ids(connection, page, limit=limit, newest=newest)))
    if page.ids is None:
        yield page
        return
    starts = range(0, len(page.ids), AT_ONCE)
    for start in reversed(starts) if newest else starts:
        yield replace(page, ids=page.ids[start : start + AT_ONCE])
