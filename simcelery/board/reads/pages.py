"""A filter with an edge, to read many jobs in pages: each is found by its ids, however far back it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from simcelery.board import asking
from simcelery.board.reads.filters import Clause, Filter
from simcelery.board.sql import Reader
from simcelery.board.states import State

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

    def _parts(self) -> Iterator[Clause]:
        yield from super()._parts()
        if self.before is not None:
            yield Clause("jobs.id < %(of_before)s", {"of_before": self.before})
        if self.after is not None:
            yield Clause("jobs.id > %(of_after)s", {"of_after": self.after})

    @property
    def follows(self) -> bool:
        """Whether the jobs next to `after` come first, rather than the newest."""
        return self.after is not None and self.before is None


def ids(connection: Reader, page: Page, *, limit: int | None, newest: bool = True) -> list[int]:
    """The ids of a page, newest first unless told otherwise."""

    order = "DESC" if newest else "ASC"

    def read(page: Filter, scattered: bool) -> list[int]:
        wanted, number = page.clause(), "jobs.id + 0" if scattered else "jobs.id"
        rows = connection.exec_driver_sql(
            f"SELECT jobs.id FROM jobs WHERE {wanted.text} ORDER BY {number} {order} LIMIT %(limit)s",
            {**wanted.values, "limit": limit},
        )
        return [row.id for row in rows]

    return nearest(connection, page, read, limit=limit, newest=newest)


def nearest(
    connection: Reader,
    which: Filter,
    read: Callable[[Filter, bool], list[T]],
    *,
    limit: int | None,
    newest: bool = True,
) -> list[T]:
    """What `read` gives for the first `limit` jobs of a filter, in whose order it lists them.

    No index has the jobs of a tag, or those that run, in the order of their ids. To find the newest of a tag,
    Postgres would read all jobs that have it, or all that are newer. Here it reads those among the newest
    ids, and among ever more of them until there are enough.

    Parameters:
        read: takes a filter, and whether it is to order by ``id + 0``, so that Postgres does not look for
            the jobs in the order of the primary key.
    """
    scattered = bool(which.tags) or list(which.states) == [State.RUNNING]
    if limit is None or which.ids is not None or not scattered:
        return read(which, scattered)
    page = which if isinstance(which, Page) else Page.of(which)
    ends = "SELECT min(id) - 1 AS low, max(id) + 1 AS high FROM jobs"
    [(low, high)] = connection.exec_driver_sql(ends).all()
    low, high = page.after or low or 0, page.before or high or 0
    width = _RECENT
    while width < (high - low) / 2:
        near = replace(page, after=high - width - 1) if newest else replace(page, before=low + width + 1)
        found = read(near, width > _RECENT)
        if len(found) >= limit:
            return found
        width = int(width * (min(max(1.5 * limit / len(found), 2), 10) if found else 10))
    return read(which, True)


_RECENT = 50_000  # ids, those that are looked at first


def walk(
    page: Page,
    read: Callable[..., list[T]],
    id_of: Callable[[T], int],
    *,
    limit: int | None = None,
    newest: bool = True,
    at_once: int = AT_ONCE,
    begin: Callable[[], AbstractContextManager[Any]] = asking.begin,
) -> Iterator[list[T]]:
    """The jobs of a page, newest first unless told otherwise, a thousand or `at_once` at a time.

    Each of these parts is read in a short transaction, so that any number fits into memory.

    Parameters:
        read: `ids` of this module, or `reads.jobs`.
        id_of: the id of one of the things that `read` returns.
        begin: how the transactions are begun; with `engine.begin`, `read` may execute expressions.

    Raises:
        As `engine.begin`.
    """
    left = limit or sys.maxsize
    parts = _parts(page, limit, newest, begin)
    part = next(parts, None)
    while part and left:
        size = min(at_once, left)
        with begin() as connection:
            some = read(connection, part, limit=size, newest=newest)
        if not some:  # one that has fewer than were asked for may have left out what cannot be read
            part = next(parts, None)
            continue
        yield some
        left -= len(some)
        last = id_of(some[-1])
        part = replace(part, before=last) if newest else replace(part, after=last)


def _parts(
    page: Page, limit: int | None, newest: bool, begin: Callable[[], AbstractContextManager[Any]]
) -> Iterator[Page]:
    """The page; if it lists ids, which ascend, then in parts, so that not all are sent each time."""
    if page.ids is None and page.tags:
        # No index has tags in the order of the ids: they are sorted once, not for every thousand.
        with begin() as connection:
            page = replace(page, ids=sorted(ids(connection, page, limit=limit, newest=newest)))
    if page.ids is None:
        yield page
        return
    starts = range(0, len(page.ids), AT_ONCE)
    for start in reversed(starts) if newest else starts:
        yield replace(page, ids=page.ids[start : start + AT_ONCE])
