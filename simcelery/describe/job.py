"""A job as JSON, and in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcelery.describe.plain import jsonable, plain
from simcelery.describe.words import ago, many, one_line, shorten, told
from simcelery.readable import json_text

if TYPE_CHECKING:
    from simcelery.board.reads.jobs import JobRow

# Scripts rely on these: they come first, in every job, in every version.
KEYS = (
    "id",
    "task_id",
    "workflow",
    "parameters",
    "state",
    "queue",
    "priority",
    "tags",
    "attempt",
    "result",
    "error",
    "submitted_at",
    "started_at",
    "finished_at",
    "worker",
)
_MOST_OF_AN_ERROR = 200  # characters
MORE_KEYS = (
    "pid",
    "error_type",
    "failures",
    "losses",
    "max_attempts",
    "max_losses",
    "time_limit",
    "time_request",
    "run_at",
    "cancel_requested_at",
    "progress",
    "parent_id",
    "submitted_by",
    "idempotency_key",
    "held",
)


def as_json(job: JobRow, **more: Any) -> dict[str, Any]:
    """A job for ``--output json``; the keys in `more` come last."""
    found = {name: jsonable(getattr(job, name)) for name in (*KEYS, *MORE_KEYS)}
    found["parameters"] = {name: plain(value) for name, value in job.parameters.items()}
    found["result"], found["progress"] = plain(job.result), plain(job.progress)
    return {**found, **{name: jsonable(value) for name, value in more.items()}}


def text_of(value: Any, most: int | None = 60) -> str:
    """A plain value for a table cell: text as it is, anything else as JSON; `most` None: not shortened."""
    text = value if isinstance(value, str) else json_text(value)
    return one_line(text) if most is None else shorten(text, most)


def summary(parameters: dict[str, Any], most: int = 60) -> str:
    """Stored parameters as ``a=1, structure=NaCl.cif``, without those that are null."""
    given = {name: plain(value) for name, value in parameters.items() if value is not None}
    return shorten(", ".join(f"{name}={text_of(value, 40)}" for name, value in given.items()), most)


def in_brief(job: JobRow) -> str:
    """A job in a few words: its error, its result, its progress, or what it waits for."""
    if job.error:
        return shorten(told(job.error), _MOST_OF_AN_ERROR)
    if job.result is not None:
        return text_of(plain(job.result))
    if job.state == "running" and job.progress:
        return progress(job.progress)
    if job.state == "scheduled":
        return f"runs {ago(job.run_at)}"
    if job.state == "blocked":
        said = ("held" if job.held else "", f"waits for {many(job.unmet)}" if job.unmet else "")
        return ", ".join(filter(None, said))
    return ""


def progress(report: dict[str, Any]) -> str:
    """``3/10 k-points``."""
    done, total, message = (plain(report.get(name)) for name in ("done", "total", "message"))
    numbers = [f"{one:g}" if isinstance(one, int | float) else text_of(one) for one in (done, total) if one]
    return shorten(" ".join(filter(None, ("/".join(numbers) or "0", message and text_of(message)))))
