"""blocked → pending for jobs that a limit kept from running, as soon as it may have room for them.

The way there, pending → blocked, is part of the claim: see `throttle_jobs`, in the schema.
"""

from __future__ import annotations

from sqlalchemy import Connection

from simcelery.board import sql
from simcelery.board.to_publish import job_to_publish
from simcelery.board.values import JobToPublish


def admit(connection: Connection, limit: int) -> list[JobToPublish]:
    """blocked → pending for what waits for a limit with room, the most urgent; at most `limit` of a lane."""
    rows = sql.execute(connection, "admit", most=limit).mappings()
    return [job_to_publish(row) for row in rows]
