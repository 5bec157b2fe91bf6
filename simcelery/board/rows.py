"""The rows of jobs to record, as COPY writes them."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from simcelery.board.copying import cell, escaped
from simcelery.board.json_text import as_json
from simcelery.board.states import State
from simcelery.board.values import NewJob

OWN = ("id", "task_id", "parameters", "idempotency_key", "state", "run_at", "unmet", "gate_id", "needs_id")
# What the jobs of a bulk have in common.
SHARED = (
    "workflow",
    "version",
    "queue",
    "priority",
    "tags",
    "parent_id",
    "max_attempts",
    "max_losses",
    "time_limit",
    "soft_time_limit",
    "time_request",
    "keep",
    "submitted_by",
)
COLUMNS = ", ".join((*OWN, *SHARED))


class Row(NamedTuple):
    """A job to record, with what only the board knows about it."""

    job: NewJob
    id: int
    unmet: int
    state: State
    run_at: dt.datetime | None
    gate_id: int | None = None
    needs_id: int | None = None


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Rows as COPY reads them; values shared by neighbours are encoded once."""
    before: tuple[Any, ...] | None = None
    end = ""
    for job, number, unmet, state, run_at, gate_id, needs_id in rows:
        these = _shared(job)
        if these != before:
            before, end = these, "\t".join(map(cell, these)) + "\n"
        text_of = job.parameters_json or as_json(job.parameters)
        yield (
            f"{number}\t{job.task_id.hex}\t{escaped(text_of)}\t{cell(job.idempotency_key)}"
            f"\t{state}\t{cell(run_at)}\t{unmet}\t{cell(gate_id)}"
            f"\t{cell(needs_id)}\t{end}"
        )


_shared = operator.attrgetter(*SHARED)


def shared(job: NewJob) -> dict[str, Any]:
    """What a job may have in common with others, by the names of the columns."""
    return {name: getattr(job, name) for name in SHARED} | {"tags": list(job.tags)}
