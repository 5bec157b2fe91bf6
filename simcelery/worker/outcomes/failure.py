"""What the board is told of an exception that ended an attempt."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from itertools import islice
from types import TracebackType

from celery.exceptions import SoftTimeLimitExceeded

from simcelery.board.states import Cause, Outcome
from simcelery.board.values import Claim, EndedAttempt
from simcelery.chunks import numbered
from simcelery.errors import BY_HANDLER, SubmissionInterruptedError, causes
from simcelery.execution import memory
from simcelery.execution.command import KILLED
from simcelery.workflows.definition import Definition
from simcelery.workflows.outcomes import Fail, Retry

_MESSAGE_LENGTH = 4000
_LONGEST_CHAIN = 20
_NAME_LENGTH = 200
_TRACEBACK_LENGTH = 40_000
_OURS = (
    *("simcelery.worker.child.attempt", "simcelery.execution.clean", "simcelery.worker.child.calling"),
    *("simcelery.workflows.functions", "simcelery.workflows.project"),
    *("importlib", "importlib._bootstrap", "importlib._bootstrap_external"),
)


def is_meant(error: BaseException) -> bool:
    """Whether the attempt failed whatever else was going on: it raised `Fail`, or reached its time limit."""
    return isinstance(error, Fail | SoftTimeLimitExceeded)


def describe(
    definition: Definition, claim: Claim, error: BaseException, kills: int | None = None
) -> EndedAttempt:
    """The report of a failed attempt.

    Parameters:
        kills: what `memory.oom_kills` told when it began; None: nobody asked.
    """
    if isinstance(error, SubmissionInterruptedError) and isinstance(error.__cause__, SoftTimeLimitExceeded):
        error = error.__cause__
    limit = isinstance(error, SoftTimeLimitExceeded)
    message = text(error)
    starved = not isinstance(error, MemoryError) and _lost_a_process(error) and memory.killed_since(kills)
    if starved:
        message = with_reason(message, "the kernel killed a process of it because memory ran out")
    if limit:
        message = f"it ran longer than its time limit of {claim.soft_time_limit or claim.time_limit or 0:g} s"
    return EndedAttempt(
        outcome=Outcome.FAILED,
        cause=Cause.OUT_OF_MEMORY if starved else _cause(error),
        error_type="TimeLimitError" if limit else printable(type(error).__name__)[:_NAME_LENGTH],
        error_message=message[:_MESSAGE_LENGTH],
        traceback=traceback_of(error),
        retry_in=definition.backoff(claim.failures + 1, error) if definition.retries(error) else None,
    )


def _cause(error: BaseException) -> Cause:
    if isinstance(error, SoftTimeLimitExceeded):
        return Cause.TIME_LIMIT
    return Cause.OUT_OF_MEMORY if isinstance(error, MemoryError) else Cause.ERROR


# What programs and Python say of a process that was ended by SIGKILL.
_SAY_KILLED = re.compile(r"\bSIGKILL\b|\bsignal 9\b|\b(code|status|returned):? (-9|137)\b|\bKilled\b")


def _lost_a_process(error: BaseException) -> bool:
    """Whether an error tells that a process which the workflow had started was ended by SIGKILL."""
    for one in islice(causes(error), _LONGEST_CHAIN):
        if any(kind.__name__ == "BrokenProcessPool" for kind in type(one).__mro__):
            return True
        code = vars(one).get("returncode")
        if (isinstance(code, int) and code in KILLED) or _SAY_KILLED.search(text(one)):
            return True
    return False


def text(error: BaseException) -> str:
    """The message of an exception, even if the exception's own code fails."""
    try:
        said = str(error) or ("" if not isinstance(error, Retry) else "asked for another attempt")
    except BaseException as problem:
        said = f"(its message cannot be read: {type(problem).__name__})"
    return printable(" ".join(filter(None, [said, *_by_handler(error)])))


def with_reason(message: str, reason: str) -> str:
    """A message whose first line says more."""
    first, *rest = message.split("\n")
    return "\n".join([f"{first} ({reason})", *rest])


def _by_handler(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", ())
    return [f"({note})" for note in notes if isinstance(note, str) and note.startswith(BY_HANDLER)]


def printable(text: str) -> str:
    """Text that Postgres accepts: without NUL and lone surrogates."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def ascii_only(text: str) -> str:
    """Text that every database accepts."""
    return text.encode("ascii", "backslashreplace").decode()


def as_ascii(log: str | Mapping[int, str]) -> dict[int, str]:
    """The same of what an attempt printed."""
    return {number: ascii_only(text) for number, text in numbered(log).items()}


def traceback_of(error: BaseException) -> str:
    """The traceback from the workflow's own frame on; only its end, if it is very long."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _OURS:
        frames = frames.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frames or error.__traceback__)
    except BaseException as problem:  # the exception's own code
        return f"(the traceback cannot be formatted: {type(problem).__name__})"
    return printable("".join(lines))[-_TRACEBACK_LENGTH:]
