"""What clusters cost, in words and as plain data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from simcelery.board.reads.costs import Cost, Report, Window, together
from simcelery.describe.plain import jsonable
from simcelery.describe.words import core_hours, many

# Of what was granted: so much more is no matter of a process that ends a moment later.
_NOTEWORTHY = 0.01


def remarks(window: Window, whole: Cost) -> list[str]:
    """What these figures leave out, and why."""
    return [said for said in _remarks(window, whole) if said]


def _remarks(window: Window, whole: Cost) -> Iterable[str]:
    if window.known > window.since:
        before = f"jobs that had ended before {window.known.astimezone():%Y-%m-%d %H:%M} have been pruned"
        what = f"{core_hours(whole.unknown)} of the core-hours that were granted"
        yield f"{before}: what they held of {what} is not known" if whole.unknown else ""
    if whole.without_cores:
        of_them = many(whole.without_cores, "allocation")
        yield f"{of_them} left out: no cores were asked for, and no worker has told how many there were"
    if whole.timeless:
        yield f"{many(whole.timeless, 'allocation')} left out: nobody has told when they ran, if they did"
    if whole.neglected:
        of_them = many(whole.neglected, "allocation")
        yield f"nobody looks after {of_them} that ran last: counted until the last sign of life"
    if whole.too_much > _NOTEWORTHY * whole.granted:
        more = core_hours(whole.too_much)
        yield f"jobs held {more} core-hours more than was granted: workers have more slots (-c) than cores"


def as_json(report: Report, by: str | None) -> dict[str, Any]:
    """All of it, for scripts."""
    return {
        "since": jsonable(report.window.since),
        "until": jsonable(report.window.until),
        "known_since": jsonable(report.window.known),
        "clusters": [{"name": cost.name, **_figures(cost)} for cost in report.costs],
        "total": _figures(together(report.costs)),
        "by": by,
        "labels": [
            {
                "label": one.label,
                "attempts": one.attempts,
                "core_hours": {"busy": one.busy, "failed": one.failed, "lost": one.lost},
            }
            for one in report.labels
        ],
        "number_of_labels": report.number_of_labels,
    }


_PARTS = (
    "granted",
    "busy",
    "succeeded",
    "failed",
    "running",
    "lost",
    "idle",
    "starting",
    "unknown",
    "too_much",
)


def _figures(cost: Cost) -> dict[str, Any]:
    return {
        "allocations": cost.allocations,
        "left_out": {"without_cores": cost.without_cores, "timeless": cost.timeless},
        "neglected": cost.neglected,
        "core_hours": {name: getattr(cost, name) for name in _PARTS},
        "lost_by_cause": {cause: asdict(loss) for cause, loss in sorted(cost.losses.items())},
        "cpu": {"core_hours": cost.cpu, "of_core_hours": cost.measured},
    }


def when(window: Window, is_now: bool) -> str:
    """``from 2026-11-23 10:00 to now``."""
    first, last = (_minute(moment) for moment in (window.since, window.until))
    return f"from {first} to {'now' if is_now else last}"


def _minute(moment: dt.datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
