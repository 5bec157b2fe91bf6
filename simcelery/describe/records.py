"""A job as JSON and as a row of a table."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import ago, many, one_line, shorten
from simcelery.readable import json_text

if TYPE_CHECKING:
    from simcelery.board.queries import JobRow

# As repr writes a float.
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
# Tags that say nothing that JSON has not.
_SAID_BY_ONE = {
    f"${name}" for name in ("tuple", "set", "frozenset", "deque", "range", "bytearray", "path")
} | {
    *("$date", "$datetime", "$time", "$decimal", "$uuid"),
}

# These come first, in every job, on every version: scripts rely on them.
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
    "run_at",
    "cancel_requested_at",
    "progress",
    "parent_id",
    "submitted_by",
    "idempotency_key",
)


def record(job: JobRow, **more: Any) -> dict[str, Any]:
    """A job for ``--output json``; `more` keys come last."""
    found = {name: jsonable(getattr(job, name)) for name in (*KEYS, *MORE_KEYS)}
    found["parameters"] = {name: plain(value) for name, value in job.parameters.items()}
    found["result"], found["progress"] = plain(job.result), plain(job.progress)
    return {**found, **{name: jsonable(value) for name, value in more.items()}}


def jsonable(value: Any) -> Any:
    """Times as ISO 8601 in UTC, ids as text; containers likewise."""
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat()
        case uuid.UUID():
            return str(value)
        case str():
            return str(value)  # a State is a str of its own class
        case dict():
            return {str(name): jsonable(item) for name, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
    return value


def plain(stored: Any) -> Any:
    """What the board stores, without its ``$`` tags where JSON has anything like it.

    A NaN is the literal ``NaN``, an array nested lists, a complex number ``[re, im]``, bytes base64 text.
    numpy is not needed for this. What has a tag and cannot be read stays as it is stored.
    """
    if isinstance(stored, list):
        return [plain(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    match stored:
        case {"$float": str(text)} if text in ("nan", "inf", "-inf") or _NUMBER.fullmatch(text):
            return float(text)
        case {"$complex": [real, imag]}:
            return [plain(real), plain(imag)]
        case {"$bytes": str(text)}:
            return text
        case {"$ndarray": items}:
            return plain(items)
        case (
            {"$dict": [*pairs]} | {"$ordered": [*pairs]} | {"$counter": [*pairs]} | {"$defaultdict": [*pairs]}
        ) if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return {_key(plain(key)): plain(item) for key, item in pairs}
        case {"$timedelta": [int(days), int(seconds), int(microseconds)]} if abs(days) < 10**9:
            return days * 86400 + seconds + microseconds / 1_000_000
    for tag in _SAID_BY_ONE & stored.keys():
        return plain(stored[tag])
    return {name: plain(item) for name, item in stored.items()}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def text_of(value: Any, most: int | None = 60) -> str:
    """A plain value in a table's cell: text as it is, everything else as JSON; None: however long it is."""
    text = value if isinstance(value, str) else json_text(value)
    return one_line(text) if most is None else shorten(text, most)


def summary(parameters: dict[str, Any], most: int = 60) -> str:
    """``a=1, structure=NaCl.cif`` of stored parameters; those that are null say nothing."""
    given = {name: plain(value) for name, value in parameters.items() if value is not None}
    return shorten(", ".join(f"{name}={text_of(value, 40)}" for name, value in given.items()), most)


def outcome(job: JobRow) -> str:
    """What there is to say of a job in a few words: its error, its result, its progress, its wait."""
    if job.error:
        return shorten(job.error, _MOST_OF_AN_ERROR)
    if job.result is not None:
        return text_of(plain(job.result))
    if job.state == "running" and job.progress:
        return progress(job.progress)
    if job.state == "scheduled":
        return f"runs {ago(job.run_at)}"
    return f"waits for {many(job.unmet)}" if job.state == "blocked" else ""


def progress(report: dict[str, Any]) -> str:
    """``3/10 k-points``."""
    done, total, message = (plain(report.get(name)) for name in ("done", "total", "message"))
    numbers = [f"{one:g}" if isinstance(one, int | float) else text_of(one) for one in (done, total) if one]
    return shorten(" ".join(filter(None, ("/".join(numbers) or "0", message and text_of(message)))))
