"""That a job cannot run on this worker now, and how its parent process learns of it."""

from __future__ import annotations

from celery.exceptions import Ignore


class NoRoom(Ignore):  # type: ignore[misc]
    """Raised by the task: its job, and others of its lane, need more of the node than is free.

    Parameters:
        freed: how often something had been freed on this worker before the claim: see `Slots.freed`.
        crowded: it is a limit of the host that keeps all jobs from running here.
    """

    def __init__(self, freed: int, crowded: bool = False) -> None:
        super().__init__(freed)
        self.freed = freed
        self.crowded = crowded
