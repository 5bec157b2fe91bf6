"""Who submits jobs here: a user, and the job that does, if any."""

from __future__ import annotations

import getpass
import socket
from functools import cache

# Set by the worker, and noted on jobs as their ``parent_id``. A pool child runs one job at a time, in
# whatever threads that job has.
submitting_job: int | None = None


@cache
def submitter() -> str:
    """``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's uid without a passwd entry
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
