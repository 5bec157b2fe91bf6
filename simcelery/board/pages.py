"""A filter with an edge, so that many jobs are read in pages: each is found by its ids, however far back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from simcelery.board.models import Job
from simcelery.board.queries import Filter


@dataclass(frozen=True)
class Page(Filter):
    """Those of a filter's jobs that were recorded before a job, or after one."""

    before: int | None = None
    after: int | None = None

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
        """Whether it is the jobs next to `after` that are wanted first, not the newest."""
        return self.after is not None and self.before is None


def ids(connection: Connection, page: Page, *, limit: int, newest: bool = True) -> list[int]:
    """The ids of a page, newest first unless told otherwise."""
    # Not by the primary key where tags are wanted: Postgres might read all jobs that have others.
    number = Job.id + 0 if page.tags else Job.id
    order = number.desc() if newest else number.asc()
    return list(connection.scalars(select(Job.id).where(*page.conditions()).order_by(order).limit(limit)))
