"""That a job does not fit on this worker now, and how its parent process learns of it."""

from __future__ import annotations

from celery.exceptions import Ignore


class NoRoom(Ignore):  # type: ignore[misc]
    """Raised by the task: its job, and others of its lane, need more of the node than is free.

    Parameters:
        freed: how often something had been freed on this worker before the claim: see `Slots.freed`.
    """

    def __init__(self, freed: int) -> None:
        super().__init__(freed)
        self.freed = freed
