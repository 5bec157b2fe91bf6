"""Which worker a process belongs to: the parent notes it before it forks, and its pool children use it."""

from __future__ import annotations

import os
import uuid

from simcelery.board.values import Registration

_WORKER_ID, _REGISTRATION = "SIMCELERY_WORKER_ID", "SIMCELERY_REGISTRATION"


def belong_to(worker: Registration) -> None:
    """Make this process, and those that it forks from now on, claim for that worker."""
    os.environ[_WORKER_ID] = str(worker.worker_id)
    os.environ[_REGISTRATION] = str(worker.key)


def me() -> Registration:
    """The worker that this process belongs to."""
    return Registration(int(os.environ[_WORKER_ID]), uuid.UUID(os.environ[_REGISTRATION]))
