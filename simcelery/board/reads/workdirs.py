"""What became of the workdirs of jobs that have ended, for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from simcelery.board.sql import Reader

Became = Mapping[str, tuple[str, dt.datetime]]


def became(connection: Reader, job_id: int) -> Became:
    """What became of a job's workdirs, by host, and when."""
    rows = connection.exec_driver_sql(
        "SELECT host, done, done_at FROM workdirs WHERE job_id = %(job_id)s AND done_at IS NOT NULL",
        {"job_id": job_id},
    )
    return {row.host: (row.done, row.done_at) for row in rows}


def now(attempt: Mapping[str, Any], became: Became) -> str | None:
    """What an ended attempt's workdir is: ``kept``, ``removed`` or ``compressed``; None: it left none."""
    if not attempt["workdir"]:
        return None
    done, at = became.get(attempt["host"], ("kept", attempt["finished_at"]))
    return done if attempt["finished_at"] <= at else "kept"
