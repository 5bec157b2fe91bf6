"""Schedules in words, from the rows of `schedules.listed`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from simcelery.describe.words import ago


def of_job(row: Mapping[str, Any], name: str) -> Any:
    """What its jobs have of this name, such as ``workflow``."""
    job = row["job"]
    return job.get(name) if isinstance(job, dict) else None  # somebody else wrote the row


def due(row: Mapping[str, Any]) -> str:
    """``2026-11-30 02:30 CET, in 3h``."""
    if row["paused_at"]:
        return "paused"
    if row["next_at"] is None:
        return "never"
    from zoneinfo import ZoneInfo

    moment = row["next_at"]
    with suppress(KeyError, ValueError, OSError):  # somebody else wrote the row
        moment = moment.astimezone(ZoneInfo(row["timezone"]))
    return f"{moment:%Y-%m-%d %H:%M %Z}, {ago(row['next_at'])}"


def last(row: Mapping[str, Any]) -> str:
    """``42 succeeded``; empty if it has had no job yet."""
    if not row["last_job_id"]:
        return ""
    return f"{row['last_job_id']} {row['last_state'] or 'pruned'}"
