"""Tables of what is on the board besides jobs, as plain data: the same columns as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simcelery.board import allocations, clusters, limits, reads, schedules, shares
from simcelery.board.reads.clusters import troubled
from simcelery.board.states import State
from simcelery.describe import clusters as clusters_in_words
from simcelery.describe import schedules as schedules_in_words
from simcelery.describe.needs import has_in_words
from simcelery.describe.words import ago

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.allocations import AllocationRow
    from simcelery.board.clusters import ClusterRow

_DAY = 86_400.0
_JOBS = 6  # that are named in a cell
MOST = 500  # rows


@dataclass(frozen=True)
class Word:
    """A cell that says how something stands, and whether that is well."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Jobs:
    """A cell with jobs, of which there may be more than are named."""

    ids: tuple[int, ...]
    more: int = 0


@dataclass(frozen=True)
class Table:
    """A table; `empty` is said if it has no rows, and `notes` stand under it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    empty: str
    notes: list[str] = field(default_factory=list)


# What becomes of the colours of jobs' states.
_TONES = {
    "live": "succeeded",
    "quarantined": "failed",
    "overdue": "failed",
    "active": "succeeded",
    "paused": "failed",
    "running": "running",
    **{str(state): str(state) for state in (State.SUCCEEDED, State.FAILED, State.UPSTREAM_FAILED)},
}


def _word(text: str) -> Word:
    return Word(text, _TONES.get(text, ""))


OF_WORKERS = ("workers", "clusters", "allocations")
OF_RULES = ("limits", "shares", "schedules")


def workers(connection: Connection) -> dict[str, Table]:
    """Workers, and the clusters that start them with their allocations."""
    found = reads.workers(connection, gone_within=_DAY)
    rows = clusters.listed(connection)
    started = [one for row in rows for one in allocations.listed(connection, row.name, _DAY)]
    troubles = clusters_in_words.troubles(troubled(connection))
    return {
        "workers": Table(
            "Workers",
            (
                "Worker",
                "State",
                "Busy",
                "Queues",
                "Running",
                "Host",
                "Has",
                "Renewed",
                "Allocation",
                "Version",
            ),
            [_worker(one) for one in found[:MOST]],
            "No worker in the last day; start one with: celery -A simcelery worker",
            [f"{one['nodename']}: {one['note']}" for one in found if one["note"] and one["state"] != "ended"]
            + _cut(found),
        ),
        "clusters": Table(
            "Clusters",
            ("Cluster", "On", "State", "Wanted", "Waiting", "Running", "Started by", "Started"),
            [_cluster(row) for row in rows[:MOST]],
            "There is no cluster; start one with: simcelery cluster start N --on local",
            [clusters_in_words.sentence(one) for one in troubles],
        ),
        "allocations": Table(
            "Allocations",
            ("Allocation", "Id", "State", "Workers", "Host", "Starts", "Ends", "Why"),
            [_allocation(one) for one in started[:MOST]],
            "",
            _cut(started),
        ),
    }


def rules(connection: Connection) -> dict[str, Table]:
    """Limits, shared queues and schedules."""
    return {
        "limits": Table(
            "Limits",
            ("Limit", "Used", "Of", "Waiting", "Running"),
            [
                (row.name, row.used, row.most, row.waiting, Jobs(row.jobs[:_JOBS], row.used - _JOBS))
                for row in limits.listed(connection)[:MOST]
            ],
            "There are no limits; set one with: simcelery limits set tag:NAME N",
        ),
        "shares": Table(
            "Shared queues",
            ("Queue", "Shared by"),
            list(shares.listed(connection).items())[:MOST],
            "No queue is shared; to share one: simcelery share QUEUE --by submitter",
        ),
        "schedules": Table(
            "Schedules",
            ("Schedule", "Cron", "Workflow", "Due", "Last job", "State"),
            [_schedule(row) for row in schedules.listed(connection)[:MOST]],
            "There are no schedules; add one with: simcelery schedules add NAME CRON WORKFLOW",
        ),
    }


def _cut(rows: list[Any]) -> list[str]:
    return [f"and {len(rows) - MOST:,} more"] if len(rows) > MOST else []


def _worker(one: dict[str, Any]) -> tuple[object, ...]:
    now, ends = one["now"], one["ends_at"]
    allocation = one["scheduler_job_id"] or ""
    if ends is not None and one["state"] != "ended":
        allocation = f"{allocation} ends {ago(ends, now)}".strip()
    return (
        one["nodename"],
        _word(one["state"]),
        f"{len(one['running'])}/{one['concurrency']}",
        ", ".join(one["queues"]),
        Jobs(tuple(one["running"][:_JOBS]), len(one["running"]) - _JOBS),
        one["host"],
        has_in_words(one).removeprefix("has "),
        ago(one["renewed_at"], now),
        allocation,
        one["version"],
    )


def _cluster(row: ClusterRow) -> tuple[object, ...]:
    return (
        row.name,
        f"{row.launcher} ({row.host})" if row.host else row.launcher,
        _word(clusters_in_words.state(row)),
        clusters_in_words.wanted(row),
        row.live - row.running,
        row.running,
        row.started_by,
        ago(row.started_at),
    )


def _allocation(one: AllocationRow) -> tuple[object, ...]:
    return (
        one.name,
        one.scheduler_id if one.scheduler_id and one.scheduler_id != one.name else "",
        _word(one.state),
        one.workers,
        " ".join(filter(None, one.hosts)),
        ago(one.starts_at),
        ago(one.ended_at or one.ends_at),
        clusters_in_words.why(one),
    )


def _schedule(row: dict[str, Any]) -> tuple[object, ...]:
    last = row["last_job_id"]
    return (
        row["name"],
        row["cron"],
        str(schedules_in_words.of_job(row, "workflow")),
        schedules_in_words.due(row),
        Jobs((last,)) if last else "",
        _word(row["last_state"] or "pruned") if last else "",
    )
