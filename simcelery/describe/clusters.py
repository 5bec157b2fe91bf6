"""Clusters and their allocations in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simcelery.board.reads.clusters import LATE, LeftOut, Troubled, Waiting, bad_nodes
from simcelery.describe.plain import jsonable
from simcelery.describe.words import duration, many, moment

if TYPE_CHECKING:
    from simcelery.board.allocations import AllocationRow
    from simcelery.board.clusters import ClusterRow

_NAMED = 5  # nodes of a cluster


def wanted(row: ClusterRow) -> str:
    """``4``, or ``3 (0 to 50)`` where the work decides."""
    return f"{row.wanted}" if row.least is None else f"{row.wanted} ({row.least} to {row.most})"


def state(row: ClusterRow) -> str:
    """``active``, ``paused``, ``stopping`` or ``stopped``."""
    return "stopping" if row.state == "stopped" and row.live else row.state


def troubles(rows: Iterable[Troubled]) -> list[tuple[str, str]]:
    """What is wrong with clusters, and what to do."""
    return [found for row in rows if (found := _trouble(row))]


def _trouble(row: Troubled) -> tuple[str, str] | None:
    if row.state == "paused":
        why = (
            f"cluster {row.name} is paused, since {row.failed} allocations in a row were of no use "
            f"({row.note or 'nobody noted why'}); one more is tried {_until(row.next_at, row.now)}"
        )
        return why, f"to try at once: simcelery cluster resume {row.name}"
    if (late := (row.now - row.round_at).total_seconds()) > LATE:
        why = f"nobody has looked after cluster {row.name} for {duration(late)}"
        verb = "stop" if row.state == "stopped" else "resume"
        gone = f"; or, if {row.host} is gone: simcelery cluster stop {row.name}" if row.host else ""
        return why, f"{_where(row)}, run: simcelery cluster {verb} {row.name}{gone}"
    if row.without_worker:
        verb = "runs" if row.without_worker == 1 else "run"
        why = f"{many(row.without_worker, 'allocation')} of cluster {row.name} {verb} without a worker"
        return why, f"what they printed: simcelery cluster logs {row.name}"
    return (f"cluster {row.name}: {row.note}", "") if row.note else None


def _where(row: Troubled) -> str:
    """Who can look after it, and from where."""
    which = f" {row.site}" if row.site else ""
    where = f"on {row.host}" if row.host else f"on a host with the commands of {row.launcher}{which}"
    return f"{where}, as {row.owner}" if row.owner else where


def sentence(found: tuple[str, str]) -> str:
    """Both in one line."""
    return ": ".join(filter(None, found))


def leaves_out(rows: Iterable[LeftOut]) -> list[tuple[str, str]]:
    """Which nodes clusters leave out, until when and why, and what to do; or why they do not."""
    said = []
    for row in rows:
        for one in row.nodes[:_NAMED]:
            text = f"cluster {row.cluster} leaves out {one.name} until {moment(one.until)}: {one.why}"
            if row.kept:
                text = f"cluster {row.cluster} does not leave out {one.name} ({one.why}): {row.kept}"
            said.append((text, "" if row.kept else f"once repaired: simcelery cluster resume {row.cluster}"))
        if (more := len(row.nodes) - _NAMED) > 0:
            said.append((f"cluster {row.cluster}: so it is with {many(more, 'more node')}", ""))
    return said


def waits(row: Waiting, now: dt.datetime) -> str:
    """``3 allocations of cluster gpu wait: all nodes are in use; the first is expected to start in 2h``."""
    verb = "waits" if row.number == 1 else "wait"
    count = f"{many(row.number, 'allocation')} of cluster {row.cluster} {verb}"
    why = f": {row.reason}" if row.reason else f" in {row.launcher}"
    first = "it" if row.number == 1 else "the first"
    at = f"; {first} is expected to start {_until(row.starts_at, now)}" if row.starts_at else ""
    return count + why + at


def _until(moment: dt.datetime | None, now: dt.datetime) -> str:
    left = 0.0 if moment is None else (moment - now).total_seconds()
    return f"in {duration(left)}" if left > 0 else "now"


def why(row: AllocationRow) -> str:
    """What the scheduler says of an allocation: why it waits, or how it ended."""
    if row.state == "ended":
        return " ".join(
            filter(None, [row.cause and row.cause.replace("_", " "), row.told and f"({row.told})"])
        )
    if row.cancel_requested_at is not None:
        return "is being cancelled"
    if row.state in ("submitting", "waiting"):
        return row.reason or row.word or ""
    return "has no worker" if row.no_worker_at is not None else ""


def as_json(row: ClusterRow, allocations: list[AllocationRow]) -> dict[str, Any]:
    """A cluster with its allocations, for scripts."""
    shown = {name: value for name, value in row._asdict().items() if name not in ("round_at", "round_by")}
    shown["bad_nodes"] = [vars(one) for one in bad_nodes(row.bad_nodes)]
    return {**jsonable(shown), "allocations": [jsonable(one._asdict()) for one in allocations]}
