"""What clusters cost: the core-hours that were granted, and what became of them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simcelery.board import sql
from simcelery.board.reads.clusters import LATE
from simcelery.board.reads.rules import CORES
from simcelery.board.sql import Reader

_HOUR = 3600.0


class Window(NamedTuple):
    """From when to when.

    Attributes:
        known: since when all is there that ran; later than `since` where jobs were pruned that ended before.
    """

    since: dt.datetime
    until: dt.datetime
    known: dt.datetime


@dataclass
class Loss:
    """Attempts that ended without an outcome of their own, for the same cause."""

    attempts: int = 0
    core_hours: float = 0.0


@dataclass
class Cost:
    """What one cluster cost, or several together, in core-hours.

    ``granted + too_much = unknown + busy + lost + idle``.

    Attributes:
        allocations: how many ran in the window.
        granted: the cores of allocations × the time for which they ran.
        unknown: of that, what lies so far back that jobs may be missing.
        succeeded, failed, running: what jobs held, or hold, in attempts that ended so.
        lost: by cause, what attempts held that ended without an outcome of their own.
        idle: what nothing held; `starting` of it before the first worker had come.
        too_much: what jobs held beyond the cores of their allocation.
        cpu: the CPU time of attempts for which it was measured, which held `measured`.
        without_cores, timeless: allocations left out, since nobody knows their cores, or when they ran.
        neglected: allocations that count until their last sign of life, since nobody has looked at them.
    """

    name: str
    allocations: int = 0
    granted: float = 0.0
    unknown: float = 0.0
    succeeded: float = 0.0
    failed: float = 0.0
    running: float = 0.0
    idle: float = 0.0
    starting: float = 0.0
    too_much: float = 0.0
    cpu: float = 0.0
    measured: float = 0.0
    without_cores: int = 0
    timeless: int = 0
    neglected: int = 0
    losses: dict[str, Loss] = field(default_factory=dict)

    @property
    def busy(self) -> float:
        """What jobs held in attempts that came to an outcome of their own, or still run."""
        return self.succeeded + self.failed + self.running

    @property
    def lost(self) -> float:
        """What was lost for any cause."""
        return sum(loss.core_hours for loss in self.losses.values())


@dataclass(frozen=True)
class Label:
    """What jobs with a tag held of clusters, or those of a workflow or submitter; None: they have no tag."""

    label: str | None
    attempts: int
    busy: float
    failed: float
    lost: float


@dataclass(frozen=True)
class Report:
    """What clusters cost in a window, by name; and what jobs held by label, of so many labels the largest."""

    window: Window
    costs: list[Cost]
    labels: list[Label]
    number_of_labels: int


def report(
    connection: Reader,
    since: float,
    until: float = 0.0,
    cluster: str | None = None,
    by: str | None = None,
    most: int = 0,
) -> Report:
    """What clusters cost in a window.

    Parameters:
        since, until: so many seconds ago it begins and ends.
        cluster: only this one, also if it had no allocations; there are no costs of one that does not exist.
        by: also what jobs held by tag, workflow or submitter; a job with several tags counts for each.
        most: at most so many of these.
    """
    given = {"since": since, "until": until, "cluster": cluster}
    rows = sql.execute(connection, "cluster_spans", late=LATE, **given).all()
    window = Window(rows[0].since, rows[0].until, rows[0].all_known)
    spans = [row for row in rows if row.cluster is not None]
    known = [row for row in spans if row.cores is not None]
    found = {name: Cost(name) for (name,) in connection.exec_driver_sql(_NAMED, given) if name == cluster}
    for span in spans:
        one = found.setdefault(span.cluster, Cost(span.cluster))
        one.neglected += span.neglected
        one.allocations += span.cores is not None
        one.without_cores += span.cores is None
    for name, number in connection.exec_driver_sql(_TIMELESS, given):
        found.setdefault(name, Cost(name)).timeless = number
    held = _held_by_span(connection, known, given)
    for number, span in enumerate(known):
        _count(found[span.cluster], span, held.get(number, ()))
    labels, all_labels = ([], 0) if by is None else _labels(connection, by, most, known, given)
    return Report(window, [found[name] for name in sorted(found)], labels, all_labels)


_NAMED = "SELECT name FROM clusters WHERE name = %(cluster)s"
# They ran, or may have: nobody has told since when.
_TIMELESS = """
SELECT cluster, count(*) FROM allocations
WHERE (%(cluster)s::text IS NULL OR cluster = %(cluster)s) AND ran_from IS NULL AND state = 'ended'
    AND cause NOT IN ('refused', 'not_submitted', 'cancelled')
    AND recorded_at < now() - make_interval(secs => %(until)s)
    AND ended_at > now() - make_interval(secs => %(since)s)
GROUP BY cluster
"""
_SUMS = """
SELECT span, kind, cause, count(*) AS attempts, sum(seconds * cores) AS core_seconds,
    sum(seconds * load) AS cpu_seconds, sum(seconds * cores) FILTER (WHERE load IS NOT NULL) AS measured
FROM held GROUP BY span, kind, cause
"""
_SUMS_BY = """
SELECT label, count(*) AS attempts, sum(seconds * cores) FILTER (WHERE kind <> 'lost') AS busy,
    sum(seconds * cores) FILTER (WHERE kind = 'failed') AS failed,
    sum(seconds * cores) FILTER (WHERE kind = 'lost') AS lost, count(*) OVER () AS number
FROM held CROSS JOIN LATERAL (SELECT DISTINCT unnest(labels) AS label) AS its
GROUP BY label ORDER BY sum(seconds * cores) DESC, label LIMIT %(most)s
"""
# How jobs are joined. If no label is asked for, only those matter that ask for cores; often there are none.
_ALL = "JOIN"
_ONLY_NEEDS = "LEFT JOIN (SELECT id, needs_id FROM jobs WHERE needs_id IS NOT NULL) AS"
_NONE = "LEFT JOIN (SELECT id, needs_id FROM jobs WHERE false) AS"
_LABELS = {
    "tag": "coalesce(nullif(jobs.tags, '{}'), ARRAY[NULL]::text[])",
    "workflow": "ARRAY[jobs.workflow]",
    "submitter": "ARRAY[jobs.submitted_by]",
}


def _held_by_span(connection: Reader, spans: Sequence[Any], given: Mapping[str, Any]) -> dict[int, list[Any]]:
    asked = connection.exec_driver_sql("SELECT EXISTS (SELECT FROM needs WHERE cores > 1)").scalar()
    join = _ONLY_NEEDS if asked else _NONE
    found: dict[int, list[Any]] = defaultdict(list)
    for row in _held(connection, spans, given, join, "NULL::text[]", _SUMS):
        found[row.span].append(row)
    return found


def _labels(
    connection: Reader, by: str, most: int, spans: Sequence[Any], given: Mapping[str, Any]
) -> tuple[list[Label], int]:
    rows = _held(connection, spans, {**given, "most": most}, _ALL, _LABELS[by], _SUMS_BY).all()
    found = [
        Label(
            row.label, row.attempts, *((value or 0.0) / _HOUR for value in (row.busy, row.failed, row.lost))
        )
        for row in rows
    ]
    return found, rows[0].number if rows else 0


def _held(
    connection: Reader, spans: Sequence[Any], given: Mapping[str, Any], join: str, label: str, sums: str
) -> Any:
    """What jobs held, summed up. Arrays tell Postgres how many workers there are before it plans."""
    workers = [
        (worker, number, span.known, span.stop, span.cause, span.last_at)
        for number, span in enumerate(spans)
        if span.stop > span.known
        for worker in span.worker_ids
    ]
    names = ("workers", "spans", "known", "stop", "causes", "ends")
    arrays = {name: [each[at] for each in workers] for at, name in enumerate(names)}
    statement = sql.statement("cluster_held")
    for name, text in (("cores", CORES), ("join", join), ("label", label), ("sums", sums)):
        statement = statement.replace(f"/* {name} */", text)
    return connection.exec_driver_sql(statement, {**given, **arrays})


def _count(cost: Cost, span: Any, held: Iterable[Any]) -> None:
    """Add what an allocation cost. Until its first worker came, nothing could run there."""
    served_from = max(min(span.first_at or span.stop, span.stop), span.known)
    starting = _core_hours(span, span.known, served_from)
    served = _core_hours(span, served_from, span.stop)
    used = 0.0
    for row in held:
        core_hours = row.core_seconds / _HOUR
        used += core_hours
        cost.cpu += (row.cpu_seconds or 0.0) / _HOUR
        cost.measured += (row.measured or 0.0) / _HOUR
        if row.kind == "lost":
            _lose(cost, row.cause, row.attempts, core_hours)
        else:
            setattr(cost, row.kind, getattr(cost, row.kind) + core_hours)
    cost.granted += _core_hours(span, span.start, span.stop)
    cost.unknown += _core_hours(span, span.start, span.known)
    cost.starting += starting
    cost.idle += starting + max(served - used, 0.0)
    cost.too_much += max(used - served, 0.0)


def _core_hours(span: Any, start: dt.datetime, stop: dt.datetime) -> float:
    return float(span.cores) * (stop - start).total_seconds() / _HOUR


def together(costs: Sequence[Cost]) -> Cost:
    """The sum of several."""
    whole = Cost("")
    for one in costs:
        for name, value in vars(one).items():
            if name not in ("name", "losses"):
                setattr(whole, name, getattr(whole, name) + value)
        for cause, loss in one.losses.items():
            _lose(whole, cause, loss.attempts, loss.core_hours)
    return whole


def _lose(cost: Cost, cause: str, attempts: int, core_hours: float) -> None:
    loss = cost.losses.setdefault(cause, Loss())
    loss.attempts += attempts
    loss.core_hours += core_hours
