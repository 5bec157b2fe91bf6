"""Clusters: workers that are started through a launcher, and how many allocations of them there are to be.

A cluster is a row that whoever has the launcher's commands acts upon: it submits what is missing, and cancels
what is too much. `allocations` are the batch jobs themselves. If three in a row are of no use, the cluster is
paused: from then on one at a time is tried, after pauses that grow, until a worker comes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Allocation, Cluster
from simcelery.board.sql_helpers import seconds
from simcelery.errors import UsageError

# So many allocations in a row that were of no use pause a cluster.
PAUSED_AFTER = 3
# Seconds until the next is submitted, doubled with each: from the one, and once it is paused from the other.
_FIRST, _FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0, 3600.0

_NOTHING_FAILED: dict[str, Any] = {
    "state": "active",
    "note": None,
    "failed": 0,
    "failed_at": None,
    "next_at": None,
}


@dataclass(frozen=True, kw_only=True)
class NewCluster:
    """A cluster to start.

    Attributes:
        host: where the launcher is this host itself, which one; else None.
        site: which scheduler; None: that is not known.
        owner: as whom batch jobs are submitted; None: that is not known.
        profile: how its workers are started.
        wanted: how many allocations; with `least` and `most`, to begin with.
    """

    name: str
    launcher: str
    host: str | None
    profile: Mapping[str, Any]
    wanted: int
    least: int | None = None
    most: int | None = None
    started_by: str
    site: str | None = None
    owner: str | None = None


class ClusterRow(NamedTuple):
    """A cluster as it stands. `live`: its allocations that have not ended; `running`: those that run.

    `bad_nodes` is for the function of this name in `reads.clusters`; `bad_nodes_kept` says why they are not
    left out, if they are not.
    """

    name: str
    launcher: str
    host: str | None
    site: str | None
    owner: str | None
    profile: dict[str, Any]
    wanted: int
    least: int | None
    most: int | None
    state: str
    note: str | None
    failed: int
    next_at: dt.datetime | None
    bad_nodes: list[Any]
    bad_nodes_kept: str | None
    round_at: dt.datetime
    round_by: str | None
    started_by: str
    started_at: dt.datetime
    live: int
    running: int


def start(connection: Connection, new: NewCluster) -> None:
    """Add a cluster, or start one that was stopped and has nothing left.

    Raises:
        UsageError: there is one of this name, which is not over.
    """
    values = {**vars(new), "profile": dict(new.profile)}
    fresh = {**_NOTHING_FAILED, "bad_nodes": [], "bad_nodes_kept": None, "started_at": func.now()}
    left = select(Allocation.id).where(Allocation.cluster == new.name, Allocation.state != "ended").exists()
    row = (
        insert(Cluster)
        .values(values)
        .on_conflict_do_update(
            index_elements=[Cluster.name],
            set_={**values, **fresh},
            where=(Cluster.state == "stopped") & ~left,
        )
        .returning(Cluster.name)
    )
    if connection.scalar(row) is None:
        host = connection.scalar(select(Cluster.host).where(Cluster.name == new.name))
        if host and host != new.host:
            raise UsageError(
                f"there is a cluster {new.name!r} already, on {host}: give yours another --name; if that "
                f"host is gone, run: simcelery cluster stop {new.name}"
            )
        raise UsageError(
            f"there is a cluster {new.name!r} already: scale it, or stop it and wait for its end"
        )


def scale(
    connection: Connection, name: str, wanted: int, least: int | None = None, most: int | None = None
) -> None:
    """Want another number of allocations; with `least` and `most`, from now on as many as there is work for.

    Raises:
        UsageError: there is no such cluster, or it is stopped.
    """
    values = {"wanted": wanted, "least": least, "most": most}
    _change(connection, name, values, Cluster.state != "stopped", "it is stopped: start it")


def adapt(connection: Connection, name: str, wanted: int) -> bool:
    """Want as many as there is work for, between the two bounds. Returns whether that has changed."""
    bounded = func.least(func.greatest(wanted, Cluster.least), Cluster.most)
    changed = (
        update(Cluster)
        .where(Cluster.name == name, Cluster.least.is_not(None), Cluster.state != "stopped")
        .where(Cluster.wanted != bounded)
        .values(wanted=bounded)
        .returning(Cluster.name)
    )
    return connection.scalar(changed) is not None


def stop(connection: Connection, name: str) -> None:
    """Want no allocations, and submit none any more: those that there are will be cancelled.

    Raises:
        UsageError: there is no such cluster.
    """
    _change(connection, name, {"state": "stopped", "wanted": 0, "note": None, "next_at": None})


def resume(connection: Connection, name: str) -> None:
    """Submit again at once, after a pause.

    Raises:
        UsageError: there is no such cluster, or it is stopped.
    """
    _change(connection, name, _NOTHING_FAILED, Cluster.state != "stopped", "it is stopped: start it")


def take_round(connection: Connection, name: str, every: float, by: str, patience: float = 0.0) -> bool:
    """Whether it is our turn to ask the scheduler: of all that can, one does so in each interval.

    Commit before asking: the turn is a schedule, not a lock.

    Parameters:
        every: seconds. A round further in the future was set before Postgres's clock was set back.
        patience: seconds for which a round that is due is left to others, unless the last one was ours.
    """
    keeps = and_(_is_due(every, 0.0), Cluster.round_by == by)
    mine = update(Cluster).where(Cluster.name == name, or_(keeps, _is_due(every, patience)))
    mine = mine.values(round_at=func.now() + seconds(every), round_by=by)
    return connection.scalar(mine.returning(Cluster.name)) is not None


def _is_due(every: float, late: float) -> ColumnElement[bool]:
    return or_(
        Cluster.round_at <= func.now() - seconds(late),
        Cluster.round_at > func.now() + seconds(every + late),
    )


def hurry(connection: Connection, name: str) -> None:
    """Let the next round be due now: something has been changed."""
    connection.execute(update(Cluster).where(Cluster.name == name).values(round_at=func.now()))


def note(connection: Connection, name: str, trouble: str | None) -> None:
    """Note what stands in the way of its rounds, or that nothing does. Why it is paused stays."""
    changed = update(Cluster).where(Cluster.name == name, Cluster.state != "paused")
    connection.execute(changed.where(Cluster.note.is_distinct_from(trouble)).values(note=trouble))


def neglected(connection: Connection, late: float) -> list[ClusterRow]:
    """Those for which nobody has asked the scheduler, though it was due so many seconds ago.

    Nor has anybody begun to replace their controller within as long.
    """
    return _listed(connection, and_(_IS_LEFT, _is_neglected(late)))


def replace(connection: Connection, name: str, late: float) -> bool:
    """Whether it is ours to start another controller: of all that find it neglected, one does."""
    ours = update(Cluster).where(Cluster.name == name, _is_neglected(late)).values(replaced_at=func.now())
    return connection.scalar(ours.returning(Cluster.name)) is not None


def _is_neglected(late: float) -> ColumnElement[bool]:
    lately = Cluster.replaced_at.between(func.now() - seconds(late), func.now())
    return and_(Cluster.round_at < func.now() - seconds(late), lately.is_not(True))


def failed(connection: Connection, name: str, why: str) -> None:
    """Note that an allocation was of no use; the next is submitted later, and after three still later.

    What fails before the next was submitted, fails with it: of many that were started together, one counts.
    """
    many = func.greatest(Cluster.failed + 1 - PAUSED_AFTER, 0)
    few = func.least(Cluster.failed, PAUSED_AFTER)
    pause = func.least(_LONGEST_PAUSE, _FIRST_PAUSE * func.power(2, func.least(many, 10)))
    is_paused = Cluster.failed + 1 >= PAUSED_AFTER
    connection.execute(
        update(Cluster)
        .where(Cluster.name == name, Cluster.state != "stopped")
        .where(or_(Cluster.next_at.is_(None), Cluster.next_at <= func.now()))
        .values(
            failed=Cluster.failed + 1,
            failed_at=func.now(),
            state=case((is_paused, "paused"), else_=Cluster.state),
            note=case((is_paused, why), else_=Cluster.note),
            next_at=func.now() + seconds(case((is_paused, pause), else_=_FIRST * func.power(2, few))),
        )
    )


def worked(connection: Connection, name: str) -> None:
    """Note that a worker has come since the last failure: what had failed before is over."""
    of_it = (Cluster.name == name) & (Cluster.failed > 0) & (Cluster.state != "stopped")
    connection.execute(update(Cluster).where(of_it).values(_NOTHING_FAILED))


def listed(connection: Connection, name: str | None = None) -> list[ClusterRow]:
    """The clusters, by name: of those that are stopped, only what still has allocations; or a certain one."""
    return _listed(connection, _IS_LEFT if name is None else Cluster.name == name)


_OF_IT = select(func.count()).where(Allocation.cluster == Cluster.name).correlate(Cluster)
_LIVE = _OF_IT.where(Allocation.state != "ended").scalar_subquery()
_RUNNING = _OF_IT.where(Allocation.state == "running").scalar_subquery()
_IS_LEFT = or_(Cluster.state != "stopped", _LIVE > 0)


def _listed(connection: Connection, condition: ColumnElement[bool]) -> list[ClusterRow]:
    columns = [getattr(Cluster, field) for field in ClusterRow._fields if field not in ("live", "running")]
    found = select(*columns, _LIVE.label("live"), _RUNNING.label("running")).where(condition)
    return [ClusterRow(**row._asdict()) for row in connection.execute(found.order_by(Cluster.name))]


def _change(
    connection: Connection, name: str, values: Mapping[str, Any], unless: Any = None, why: str = ""
) -> None:
    of_it = Cluster.name == name
    changed = update(Cluster).where(of_it if unless is None else of_it & unless).values(dict(values))
    if connection.scalar(changed.returning(Cluster.name)) is None:
        known = connection.scalar(select(Cluster.name).where(of_it))
        raise UsageError(f"cluster {name!r}: {why}" if known else f"there is no cluster {name!r}")
