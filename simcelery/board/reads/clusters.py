"""Clusters that do not do what they should, what they leave out, and what their allocations wait for."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from simcelery.board import bad_hosts
from simcelery.board.bad_hosts import BadNode
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


class LeftOut(NamedTuple):
    """A cluster, the nodes that it leaves out, and why it does not after all."""

    cluster: str
    nodes: list[BadNode]
    kept: str | None


def left_out(connection: Reader) -> list[LeftOut]:
    """Those clusters, by name, with what is left out still."""
    rows = connection.exec_driver_sql(
        "SELECT name, bad_nodes, bad_nodes_kept, now() AS now FROM clusters "
        "WHERE state <> 'stopped' AND bad_nodes <> '[]' ORDER BY name"
    )
    found = []
    for row in rows:
        if nodes := [one for one in bad_hosts.read(row.bad_nodes) if one.until > row.now]:
            found.append(LeftOut(row.name, nodes, row.bad_nodes_kept))
    return found


class Waiting(NamedTuple):
    """Allocations of a cluster that wait: how many, why the first one does, and when it may start."""

    cluster: str
    launcher: str
    number: int
    reason: str | None
    starts_at: dt.datetime | None


def waiting(connection: Reader) -> list[Waiting]:
    """What waits of each cluster, by name."""
    return [Waiting(*row) for row in connection.exec_driver_sql(_WAITING)]


_WAITING = """
SELECT cluster, launcher, count(*),
    (array_agg(coalesce(reason, word) ORDER BY allocations.id))[1], min(starts_at)
FROM allocations JOIN clusters ON clusters.name = cluster
WHERE allocations.state IN ('submitting', 'waiting') AND cancel_requested_at IS NULL
GROUP BY cluster, launcher ORDER BY cluster
"""
