"""Lanes from which a worker takes no messages for a moment, since none of their jobs can run on its node.

Their messages are back in Redis, where other workers find them. This one looks again when something has been
freed here, or after a few seconds, in case that jobs have come that need less, or another worker of the host
has ended one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

LONGEST = 5.0  # seconds


class Parking:
    """The parked lanes of this process, by their names.

    Attributes:
        freed: tells how often something has been freed on this worker.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._seen = 0
        self.freed: Callable[[], int] = lambda: 0

    def park(self, lane: str, freed: int) -> None:
        """Take nothing from this lane for a while, unless something has been freed since `freed` was told."""
        if self.freed() == freed:
            if not self._until:
                self._seen = freed
            self._until[lane] = self._clock() + LONGEST

    def left(self, lanes: Iterable[str]) -> list[str]:
        """The lanes that are not parked."""
        if self._until:
            freed, now = self.freed(), self._clock()
            same = freed == self._seen
            self._seen = freed
            self._until = {lane: until for lane, until in self._until.items() if same and now < until}
        return [lane for lane in lanes if lane not in self._until]

    @property
    def any(self) -> bool:
        """Whether messages of some lane are left where they are."""
        return bool(self._until)


parked = Parking()
