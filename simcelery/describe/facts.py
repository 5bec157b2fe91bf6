"""The facts of a job, each with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.describe.job import progress
from simcelery.describe.words import ago, duration, moment, spaced, span, told

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.reads.neighbours import Parents


def facts_of(row: JobRow, parents: Parents, children: list[int]) -> list[tuple[str, object]]:
    """What there is to know of a job besides its values and its attempts; what is empty says nothing."""
    limits = f"{row.attempt} made; failures {row.failures} of {row.max_attempts}"
    waits_until = f"not before {moment(row.run_at)}" if row.state == "scheduled" else ""
    ran = row.state in ("running", "succeeded", "failed")
    return [
        ("task id", row.task_id),
        ("queue", f"{row.queue}, priority {row.priority}"),
        ("tags", ", ".join(row.tags)),
        ("submitted", f"{moment(row.submitted_at)} by {row.submitted_by}"),
        ("submitted by job", row.parent_id),
        ("waits", waits_until),
        ("published", moment(row.published_at) if row.state == "pending" else ""),
        ("started", moment(row.started_at)),
        ("finished", moment(row.finished_at)),
        ("took", span(row.started_at, row.finished_at) if ran else ""),
        ("time limit", duration(row.time_limit)),
        ("time request", duration(row.time_request)),
        ("attempts", f"{limits}, losses {row.losses} of {row.max_losses}"),
        ("cancel", f"requested {ago(row.cancel_requested_at)}" if row.cancel_requested_at else ""),
        ("worker", row.worker),
        ("pid", row.pid if row.state == "running" else None),
        ("progress", progress(row.progress) if row.progress else ""),
        ("parents", spaced(parents.ids) + (f" ({row.unmet:,} to wait for)" if row.unmet else "")),
        ("only their end", spaced(parents.any_end)),
        ("children", spaced(children)),
        ("key", row.idempotency_key),
        ("error", told(row.error or "")),
        ("goes on in", parents.goes_on_in),
    ]
