"""The few numbers about attempts and workers that whoever watches over the board wants to see as curves."""

from __future__ import annotations

from dataclasses import dataclass

from simcelery.board import sql
from simcelery.board.reads.rules import LIVE
from simcelery.board.sql import Reader


@dataclass(frozen=True)
class Serving:
    """The live workers that take jobs of a queue, and how many of them at once."""

    workers: int
    slots: int


def oldest_pending(connection: Reader) -> dict[str, float]:
    """For how many seconds the oldest pending job of each queue has been waiting."""
    return {row.queue: row.seconds for row in sql.execute(connection, "oldest_pending")}


def recent_attempts(connection: Reader, window: float) -> dict[str, int]:
    """How many attempts ended in the last `window` seconds, by outcome."""
    rows = connection.exec_driver_sql(
        "SELECT outcome, count(*) AS number FROM attempts WHERE finished_at <= now() "
        "AND finished_at > now() - make_interval(secs => %(window)s) GROUP BY outcome",
        {"window": window},
    )
    return {row.outcome: row.number for row in rows}


def serving(connection: Reader) -> dict[str, Serving]:
    """Who serves each queue; those in quarantine do not. Who serves several queues counts for each."""
    rows = connection.exec_driver_sql(
        "SELECT queue, count(*) AS workers, sum(concurrency)::double precision AS slots "
        f"FROM workers CROSS JOIN unnest(queues) AS queue WHERE {LIVE} AND quarantined_at IS NULL "
        "AND queue IS NOT NULL GROUP BY queue"
    )
    return {row.queue: Serving(row.workers, int(row.slots)) for row in rows}


def live_workers(connection: Reader) -> dict[str, int]:
    """How many workers are ``live``, and how many of those whose lease holds are ``quarantined``."""
    [row] = connection.exec_driver_sql(
        "SELECT count(*) FILTER (WHERE quarantined_at IS NULL) AS live, "
        f"count(*) FILTER (WHERE quarantined_at IS NOT NULL) AS quarantined FROM workers WHERE {LIVE}"
    )
    return {"live": row.live, "quarantined": row.quarantined}


def lost_workers(connection: Reader) -> int:
    """How many workers have ended, or let their lease expire, and still hold running jobs."""
    held = connection.exec_driver_sql(
        "SELECT count(DISTINCT jobs.worker_id) FROM jobs JOIN workers ON workers.id = jobs.worker_id "
        f"WHERE jobs.state = 'running' AND NOT {LIVE}"
    )
    return int(held.scalar())
