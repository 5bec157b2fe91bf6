"""What the tables of a crate say of a job, and of an attempt, as plain cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from simcelery.board.reads.records import Record
from simcelery.describe.plain import jsonable, plain
from simcelery.tables.reading import spread

OF_A_JOB = (
    *("id", "workflow", "state", "error", "queue", "priority", "tags", "parents", "parent_id"),
    *("idempotency_key", "submitted_by", "submitted_at", "started_at", "finished_at"),
    *("attempt", "failures", "losses", "max_attempts", "max_losses", "time_limit"),
)
_OF_AN_ATTEMPT = (
    *("attempt", "outcome", "cause", "error_type", "error_message", "traceback", "started_at", "finished_at"),
    *("host", "nodename", "pid", "scheduler_job_id", "cpu_seconds", "peak_memory", "workdir", "seed"),
    *("claim_id", "code_version"),
)
_OF_AN_ENVIRONMENT = (
    *("python", "simcelery", "package", "version", "source"),
    *("tree", "repository", "commit", "dirty"),
)


def of_job(record: Record) -> dict[str, Any]:
    """Its columns, and a cell for each parameter and each field of its result."""
    job = record.job
    cells = {name: jsonable(getattr(job, name)) for name in OF_A_JOB if name != "parents"}
    cells = {name: record.parents if name == "parents" else cells[name] for name in OF_A_JOB}
    found = spread(job.workflow, job.parameters, job.result)
    if job.result is None:  # rather than a column of that name beside the fields of others
        del found["result"]
    return cells | found


def of_attempts(record: Record, logs: dict[int, str]) -> Iterator[dict[str, Any]]:
    """A row for each attempt that has ended.

    Parameters:
        logs: attempt → the file with what it printed.
    """
    for attempt in record.attempts:
        environment = attempt["environment"] or {}
        lock = environment.get("lock")
        lock = lock if isinstance(lock, dict) else {}
        yield {
            "job": record.job.id,
            "workflow": record.job.workflow,
            **{name: jsonable(attempt[name]) for name in _OF_AN_ATTEMPT},
            **{name: environment.get(name) for name in _OF_AN_ENVIRONMENT},
            "lock_file": lock.get("file"),
            "lock_sha256": lock.get("sha256"),
            "modules": environment.get("modules"),
            "parameters": json.dumps(plain(attempt["parameters"])),
            "late_outcome": plain(jsonable(attempt["late_outcome"])),
            "log": logs.get(attempt["attempt"]),
        }
