"""Hosts on which a worker took no jobs when it was last heard of, and what clusters do about them.

A worker that is in quarantine, or whose node takes no files, says so on its row. When its quarantine ends,
that is gone from there, and so is the host from here; also if another worker has succeeded there since: then
the host was not to blame, or somebody has repaired it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from simcelery.board.models import Allocation, Cluster, Worker
from simcelery.board.reads.clusters import BadNode
from simcelery.board.sql_helpers import seconds
from simcelery.board.unreadable import bad_rows

LEFT_OUT = 86_400.0  # seconds since its quarantine began for which a host is left out
_RECENT = 7 * 86_400.0  # seconds for which a cluster remembers where it has run
_PREFIX = "in quarantine: "


@dataclass(frozen=True)
class BadHost:
    """A host, as its worker calls it, and until when it is left out, and why.

    Attributes:
        node: what the scheduler calls it, if it has told: for it, the host may have any other name.
    """

    host: str
    until: dt.datetime
    why: str
    node: str | None = None


def bad_hosts(connection: Connection) -> list[BadHost]:
    """Those of the last day, by name."""
    day = seconds(LEFT_OUT)
    lately = Worker.quarantined_at.between(func.now() - day, func.now() + day)
    found = connection.execute(
        select(Worker.id, Worker.host, Worker.note, Worker.quarantined_at, Allocation.hosts)
        .outerjoin(Allocation, Allocation.name == Worker.allocation)
        .where(lately)
        .order_by(Worker.host, Worker.quarantined_at.desc())
    ).all()
    if not found:
        return []
    there = connection.execute(
        select(Worker.id, Worker.host, Worker.succeeded).where(Worker.host.in_({row.host for row in found}))
    ).all()
    bad: dict[str, BadHost] = {}
    for row in found:
        others = [one for one in there if one.host == row.host and one.id != row.id]
        if not any(_succeeded_since(one.succeeded, row.quarantined_at) for one in others):
            until = row.quarantined_at + dt.timedelta(seconds=LEFT_OUT)
            why = (row.note or "its worker is in quarantine").removeprefix(_PREFIX)
            nodes = bad_rows.words(row.hosts)
            node = nodes[0] if len(nodes) == 1 else None
            bad.setdefault(row.host, BadHost(row.host, until, why, node))
    return list(bad.values())


def _succeeded_since(succeeded: Any, since: dt.datetime) -> bool:
    moments = map(bad_rows.moment, bad_rows.named_values(succeeded).values())
    return any(at is not None and at > since for at in moments)


def hosts_of(connection: Connection, cluster: str) -> list[str]:
    """Where allocations of a cluster have run within a week, as the scheduler says, or else their workers."""
    since = func.now() - seconds(_RECENT)
    of_it = (Allocation.cluster == cluster, Allocation.recorded_at > since)
    told = connection.scalars(select(Allocation.hosts).where(*of_it, func.cardinality(Allocation.hosts) > 0))
    untold = (*of_it, func.cardinality(Allocation.hosts) == 0)
    said = connection.scalars(
        select(Worker.host).join(Allocation, Allocation.name == Worker.allocation).where(*untold).distinct()
    )
    found = sorted({host for hosts in told for host in bad_rows.words(hosts) if host})
    return [*found, *(host for host in said if not any(is_same(host, one) for one in found))]


def is_same(one: str, other: str) -> bool:
    """Whether both name the same host: one of them may be without its domain."""
    if "." in one and "." in other:
        return one == other
    return one.partition(".")[0] == other.partition(".")[0]


def note(connection: Connection, cluster: str, bad: Sequence[BadNode], kept: str | None) -> None:
    """Note which nodes a cluster leaves out.

    Parameters:
        kept: why it does not, after all; None: it does.
    """
    rows = [{**vars(one), "until": one.until.isoformat()} for one in bad]
    changed = Cluster.bad_nodes.is_distinct_from(rows) | Cluster.bad_nodes_kept.is_distinct_from(kept)
    connection.execute(
        update(Cluster)
        .where(Cluster.name == cluster, changed)
        .values(bad_nodes=rows, bad_nodes_kept=kept if rows else None)
    )


def forgive(connection: Connection, hosts: Sequence[str]) -> None:
    """Hold nothing against these hosts any more that workers have left behind which are not there now."""
    gone = Worker.ended_at.is_not(None) | (Worker.lease_expires_at <= func.now())
    connection.execute(
        update(Worker)
        .where(Worker.host.in_(hosts), gone, Worker.quarantined_at.is_not(None))
        .values(quarantined_at=None)
    )
