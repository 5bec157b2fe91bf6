"""Clusters that do not do what they should."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from simcelery.board.sql import Reader


class Troubled(NamedTuple):
    """A cluster that is paused, that nobody looks after, or whose last round failed; see `ClusterRow`."""

    name: str
    launcher: str
    host: str | None
    state: str
    note: str | None
    failed: int
    next_at: dt.datetime | None
    round_at: dt.datetime
    live: int
    now: dt.datetime


# So many seconds after it was due.
LATE = 120.0


def troubled(connection: Reader) -> list[Troubled]:
    """Those clusters, by name."""
    return [Troubled(*row) for row in connection.exec_driver_sql(_TROUBLED, {"late": LATE})]


_TROUBLED = """
SELECT * FROM (
    SELECT name, launcher, host, state, note, failed, next_at, round_at, (
        SELECT count(*) FROM allocations WHERE cluster = clusters.name AND allocations.state <> 'ended'
    ) AS live, now() AS now
    FROM clusters
    WHERE state = 'paused' OR note IS NOT NULL OR round_at < now() - make_interval(secs => %(late)s)
) AS found
WHERE state <> 'stopped' OR live > 0
ORDER BY name
"""
