"""Who submits jobs here: a user, and the job that does, if any."""

from __future__ import annotations

import getpass
import socket
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
# Calls what it is given, again and again while the board is away, and returns the result.
WaitOut = Callable[[Callable[[], Any]], Any]

# Set by the worker (see `enter`), and noted on jobs as their ``parent_id``. A pool child runs one job at a
# time, in whatever threads that job has.
submitting_job: int | None = None
_wait_out: WaitOut | None = None
_submitted: Counter[str] = Counter()  # by this attempt of it, how often what
_counting = threading.Lock()


def enter(job_id: int | None, wait_out: WaitOut | None = None) -> None:
    """From now on this job submits what is submitted here; None: no job does."""
    global submitting_job, _wait_out
    submitting_job, _wait_out = job_id, wait_out
    _submitted.clear()


def despite_outages(action: Callable[[], T]) -> T:
    """The result of an action that may safely be repeated; within a job it waits for the board."""
    if _wait_out is None:
        return action()
    found: T = _wait_out(action)
    return found


def number_of(what: str) -> int:
    """How many of these the attempt has submitted, with this one."""
    with _counting:
        _submitted[what] += 1
        return _submitted[what]


@cache
def submitter() -> str:
    """``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's uid without a passwd entry
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
