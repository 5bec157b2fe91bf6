"""An attempt in words: what came too late, and how a job ended that was to be cancelled."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import one_line, span

if TYPE_CHECKING:
    from simcelery.board.states import State

_BEFORE = {
    "cancelled": "had been cancelled before",
    "succeeded": "had succeeded before",
    "failed": "had failed before",
    "upstream_failed": "had failed upstream before",
}


def what_became(state: State, attempt: dict[str, Any], *, at_once: bool, asked: bool) -> str:
    """How a job ended that was to be cancelled.

    Parameters:
        attempt: its last one; empty: it never ran.
        at_once: it was cancelled while it waited.
        asked: it was running, and its worker was told.
    """
    error = ": ".join(filter(None, (attempt.get("error_type"), attempt.get("error_message"))))
    if at_once:
        return "cancelled while it waited"
    if not asked:
        return _BEFORE.get(str(state), f"is {state} again")
    if not state.is_terminal:
        return "asked to stop"
    if state == "cancelled":
        return error or "ended"
    return f"{state} before the cancel reached it" + (f": {error}" if error and state == "failed" else "")


def late(attempt: dict[str, Any]) -> str:
    """What the worker of an attempt reported after the attempt had been given up."""
    told = attempt["late_outcome"]
    if before := told.get("accepted_after"):
        return f"{attempt['outcome']}; it had been {before}, and no newer claim was made: accepted"
    error = ": ".join(filter(None, (told.get("error_type"), told.get("error_message"))))
    said = f"{told.get('outcome')}" + (f" ({one_line(error)})" if error else "")
    with suppress(TypeError, ValueError):
        reported = dt.datetime.fromisoformat(told.get("reported_at"))
        said += f", {span(attempt['finished_at'], reported)} after it was given up"
    return f"{said}; it no longer counts"
