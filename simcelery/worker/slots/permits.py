"""``--max-jobs``: how many jobs the children of one worker may still claim, all together.

Each slot says how many its child has claimed, and whether it is about to claim one. A child that dies takes
nothing with it: what it was about to claim is forgotten with its slot, and the lock is the kernel's to undo.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from simcelery.worker.slots.layout import Fields, Memory

_threads = threading.Lock()  # of the worker's own process, where jobs may run in several


class Permits:
    """The permits of one child."""

    def __init__(self, memory: Memory, fields: Fields) -> None:
        self._memory = memory
        self._fields = fields

    def take(self) -> bool:
        """Whether one more job may be claimed; it counts until it is used or given back."""
        most = self._memory.max_jobs
        if most is None:
            return True
        with self._alone():
            may = self._memory.spoken_for() < most
            self._fields.permits += may
        return may

    def use(self) -> None:
        """A job has been claimed: it counts for good. For a moment it counts twice, but never not at all."""
        self._fields.claims += 1
        self.give_back()

    def give_back(self) -> None:
        """No job was claimed."""
        self._fields.permits = max(0, self._fields.permits - 1)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within the block, no other child counts."""
        with _threads:
            self._lock(fcntl.LOCK_EX)
            try:
                yield
            finally:
                self._lock(fcntl.LOCK_UN)

    def _lock(self, how: int) -> None:
        if self._memory.lock is not None:
            with suppress(OSError):  # a job has closed it
                fcntl.lockf(self._memory.lock, how)
