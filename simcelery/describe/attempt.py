"""An attempt in words: an outcome that came too late, and how a job ended after a cancel request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

from simcelery.describe.words import listed, one_line, span, told

if TYPE_CHECKING:
    from simcelery.board.states import State

_SHORT = 10  # characters of a hash
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


def error_of(attempt: Mapping[str, Any]) -> str:
    """How it failed, in a line; empty if it did not."""
    return told(": ".join(filter(None, (attempt["error_type"], attempt["error_message"]))))


def late(attempt: dict[str, Any]) -> str:
    """What an attempt's worker reported after the attempt had been given up."""
    report = attempt["late_outcome"]
    if before := report.get("accepted_after"):
        return f"{attempt['outcome']}; accepted although it had been {before}, since no newer claim was made"
    error = ": ".join(filter(None, (report.get("error_type"), report.get("error_message"))))
    said = f"{report.get('outcome')}" + (f" ({one_line(error)})" if error else "")
    with suppress(TypeError, ValueError):
        reported = dt.datetime.fromisoformat(report.get("reported_at"))
        said += f", {span(attempt['finished_at'], reported)} after it was given up"
    return f"{said}; it no longer counts"


def folder_of(attempt: Mapping[str, Any]) -> str:
    """Where its workdir is, or what has become of it."""
    folder, now = attempt["workdir"], attempt["workdir_now"]
    if now == "removed":
        return f"{folder} (removed, as keep says)"
    return f"{folder}.tar.gz" if now == "compressed" else folder or "(removed, since it stayed empty)"


def origins(attempts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the code of attempts came from, a line for those that have it in common."""
    for origin, group in groupby(attempts, lambda one: _origin(one["environment"])):
        numbers = [one["attempt"] for one in group]
        if origin:
            yield f"attempt{'s' if numbers[1:] else ''} {listed(numbers)}, code: {origin}"


def _origin(environment: Mapping[str, Any] | None) -> str:
    """``sims (sims.py:ebe1cd6308eb), commit 3f2a9c1b22 (changed since), uv.lock 9a8b7c6d5e; Python …``."""
    if environment is None:
        return ""
    package, commit, lock = (environment.get(name) for name in ("package", "commit", "lock"))
    source = environment.get("source")
    named = (package, environment.get("version"), f"({source})" if source and package else source)
    own = [" ".join(map(str, filter(None, named)))] if package or source else []
    if commit:
        changed = {True: " (changed since)", None: " (perhaps changed since)"}
        own.append(f"commit {str(commit)[:_SHORT]}{changed.get(environment.get('dirty'), '')}")
    if isinstance(lock, dict):
        name = str(lock.get("file")).rpartition("/")[2]
        own.append(f"{name} {str(lock.get('sha256'))[:_SHORT]}")
    parts = [", ".join(own), f"Python {environment.get('python')}, simcelery {environment.get('simcelery')}"]
    if modules := environment.get("modules"):
        parts.append(f"modules {', '.join(map(str, modules))}")
    return one_line("; ".join(filter(None, parts)))
