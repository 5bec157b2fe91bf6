"""An attempt in words: an outcome that came too late, and how a job ended after a cancel request."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import one_line, span

if TYPE_CHECKING:
    from simcelery.board.states import State

_BEFORE = {
    "cancelled": "was already cancelled",
    "succeeded": "had already succeeded",
    "failed": "had already failed",
    "upstream_failed": "was already upstream_failed",
}


def what_became(state: State, attempt: dict[str, Any], *, at_once: bool, asked: bool) -> str:
    """How a job ended after a cancel request.

    Parameters:
        attempt: its last attempt; empty if it never ran.
        at_once: whether it was cancelled while waiting.
        asked: whether it was running, so that its worker was asked to stop it.
    """
    error = ": ".join(filter(None, (attempt.get("error_type"), attempt.get("error_message"))))
    if at_once:
        return "cancelled while waiting"
    if not asked:
        return _BEFORE.get(str(state), f"is {state} again")
    if not state.is_terminal:
        return "asked to stop"
    if state == "cancelled":
        return error or "ended"
    return f"{state} before the cancel reached it" + (f": {error}" if error and state == "failed" else "")


def late(attempt: dict[str, Any]) -> str:
    """What an attempt's worker reported after the attempt had been given up."""
    told = attempt["late_outcome"]
    if before := told.get("accepted_after"):
        return f"{attempt['outcome']}; accepted although it had been {before}, since no newer claim was made"
    error = ": ".join(filter(None, (told.get("error_type"), told.get("error_message"))))
    said = f"{told.get('outcome')}" + (f" ({one_line(error)})" if error else "")
    with suppress(TypeError, ValueError):
        reported = dt.datetime.fromisoformat(told.get("reported_at"))
        said += f", {span(attempt['finished_at'], reported)} after it was given up"
    return f"{said}; it no longer counts"
