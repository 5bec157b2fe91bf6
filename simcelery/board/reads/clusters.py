"""Clusters that do not do what they should, what they leave out, and what their allocations wait for."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

from simcelery.board.sql import Reader
from simcelery.board.unreadable import bad_rows


class Troubled(NamedTuple):
    """A cluster that is paused, that nobody looks after, or whose last round failed; see `ClusterRow`.

    `without_worker`: how many of its allocations have run for long without a worker.
    """

    name: str
    launcher: str
    host: str | None
    site: str | None
    owner: str | None
    state: str
    note: str | None
    failed: int
    next_at: dt.datetime | None
    round_at: dt.datetime
    live: int
    without_worker: int
    now: dt.datetime


# So many seconds after it was due.
LATE = 120.0


def troubled(connection: Reader) -> list[Troubled]:
    """Those clusters, by name."""
    return [Troubled(*row) for row in connection.exec_driver_sql(_TROUBLED, {"late": LATE})]


_TROUBLED = """
SELECT * FROM (
    SELECT name, launcher, host, site, owner, state, note, failed, next_at, round_at, (
        SELECT count(*) FROM allocations WHERE cluster = clusters.name AND allocations.state <> 'ended'
    ) AS live, (
        SELECT count(*) FROM allocations WHERE cluster = clusters.name AND allocations.state = 'running'
        AND no_worker_at IS NOT NULL AND cancel_requested_at IS NULL
    ) AS without_worker, now() AS now
    FROM clusters
) AS found
WHERE (
    state = 'paused' OR note IS NOT NULL OR without_worker > 0
    OR round_at < now() - make_interval(secs => %(late)s)
) AND (state <> 'stopped' OR live > 0)
ORDER BY name
"""


@dataclass(frozen=True)
class BadNode:
    """A node on which a worker took no jobs, as the scheduler and the worker call it, until when, and why."""

    name: str
    host: str
    until: dt.datetime
    why: str


def bad_nodes(value: Any) -> list[BadNode]:
    """What was noted of them, as far as it can be read."""
    found = []
    for one in value if isinstance(value, list) else ():
        given = one if isinstance(one, dict) else {}
        words = [given.get(name) for name in ("name", "host", "why")]
        until = bad_rows.moment(given.get("until"))
        if until is not None and all(isinstance(word, str) for word in words):
            found.append(BadNode(given["name"], given["host"], until, given["why"]))
    return found


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
        if nodes := [one for one in bad_nodes(row.bad_nodes) if one.until > row.now]:
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
