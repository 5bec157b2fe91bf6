"""A pool child that a job has changed for good exits between two messages, and a new one replaces it.

It exits after the pool has been told how its message ended, so it is not considered lost. A message that
the pool gave it in the meantime has not been accepted, and goes to another child.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import NoReturn

from simcelery.execution import capture

log = logging.getLogger(__name__)

_due = False


def after(job_id: int | None, reasons: list[str]) -> None:
    """Run no further job in this child after the current one."""
    global _due
    _due = True
    log.info(
        "job %s changed its process in a way that cannot be undone (%s): a new pool child replaces it",
        job_id,
        "; ".join(reasons)[:500],
    )


def is_due() -> bool:
    """Whether this child should run no further job."""
    return _due


def end(on_exit: Callable[[int, int], object] | None, status: int) -> NoReturn:
    """End this process.

    Parameters:
        on_exit: what the pool calls in a child that exits, with its pid and status.
    """
    try:
        capture.remove()
        if on_exit is not None:
            on_exit(os.getpid(), status)
        logging.shutdown()
    finally:
        os._exit(status)
