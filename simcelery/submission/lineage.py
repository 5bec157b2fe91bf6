"""Who submits jobs here: a user, and the job that does, if any."""

from __future__ import annotations

import getpass
import socket
import threading
from collections import Counter
from functools import cache

# Set by the worker (see `enter`), and noted on jobs as their ``parent_id``. A pool child runs one job at a
# time, in whatever threads that job has.
submitting_job: int | None = None
_submitted: Counter[str] = Counter()  # by this attempt of it, how often what
_counting = threading.Lock()


def enter(job_id: int | None) -> None:
    """From now on this job submits what is submitted here; None: no job does."""
    global submitting_job
    submitting_job = job_id
    _submitted.clear()


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
