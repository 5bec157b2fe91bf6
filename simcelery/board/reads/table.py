"""Some fields of many jobs: what of a job is not asked for stays on the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from simcelery.board.models import Job
from simcelery.board.reads import pages
from simcelery.board.reads.fields import stored
from simcelery.board.reads.jobs import Filter
from simcelery.conditions.values import Name


def fields(
    connection: Connection, which: Filter, names: Sequence[Name], *, limit: int | None, newest: bool
) -> list[tuple[Any, ...]]:
    """For each job that passes the filter its id, and these fields as they are stored.

    Raises:
        UsageError: a name is none of a field.
    """
    columns = [stored(name).label(f"field_{at}") for at, name in enumerate(names)]

    def read(page: Filter, scattered: bool) -> list[tuple[Any, ...]]:
        number = Job.id + 0 if scattered else Job.id
        order = number.desc() if newest else number.asc()
        statement = select(Job.id, *columns).where(*page.conditions()).order_by(order).limit(limit)
        return [tuple(row) for row in connection.execute(statement)]

    return pages.nearest(connection, which, read, limit=limit, newest=newest)
