"""How much memory the processes of each attempt use together, measured while it runs.

Most attempts are over before anybody measures. One look at the table of processes serves all that run; only
where a tree seems to use more than before, or than it may, is it asked what its processes share.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from simcelery.execution import trees
from simcelery.execution.trees import Tree
from simcelery.worker.slots.layout import Phase
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import Running

# Seconds between two looks where nothing limits what is used; a shorter attempt measures itself.
EVERY = 1.0
# A look may take so much of the time, where nothing is limited.
_SHARE = 0.05


@dataclass
class _Measured:
    """What is known of one tree; bytes."""

    used: int = 0
    peak: int = 0
    exact_from: float = 0.0  # when it may be asked again what it shares


class MemoryWatch:
    """Measures the attempts in the slots of one worker."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._trees: dict[uuid.UUID, _Measured] = {}
        self._next = 0.0

    def look(self, now: float, attempts: Sequence[Running]) -> None:
        """Measure what runs, if it is time.

        Parameters:
            now: by the monotonic clock.
            attempts: all that run here now.
        """
        known = {one.claim_id for one in attempts}
        self._trees = {claim: one for claim, one in self._trees.items() if claim in known}
        running = [
            one
            for one in attempts
            if one.phase is Phase.RUNNING and (one.memory or now - one.started >= EVERY)
        ]
        if not running or now < self._next:
            return
        begun = time.monotonic()
        found = trees.trees({one.pid for one in running})
        for one in running:
            if (tree := found.get(one.pid)) is not None:
                self._measure(one, tree, now)
        took = time.monotonic() - begun
        limited = any(one.memory for one in running)
        # On a busy node a look takes long, but what is limited is looked at all the same.
        self._next = now + (min(EVERY, took / _SHARE) if limited else max(EVERY, took / _SHARE))

    def of(self, running: Running) -> tuple[int, int]:
        """Bytes that the attempt uses, and the most that it has used, as far as that was measured; else 0."""
        known = self._trees.get(running.claim_id)
        return (known.used, known.peak) if known else (0, 0)

    def exceeds(self, running: Running) -> bool:
        """Whether the attempt uses more than it may."""
        return running.memory is not None and self.of(running)[0] > running.memory

    def _measure(self, one: Running, tree: Tree, now: float) -> None:
        known = self._trees.setdefault(one.claim_id, _Measured())
        used, limit = tree.resident - one.memory_left, one.memory or math.inf
        several = len(tree.pids) > 1  # a single process knows its own peak
        if used > limit or (several and used > known.peak):
            if now < known.exact_from:
                return
            begun = time.monotonic()
            exact = trees.shared_out(tree.pids)
            known.exact_from = now + (time.monotonic() - begun) / _SHARE
            used = used if exact is None else exact - one.memory_left
            known.peak = max(known.peak, used)
        known.used = max(0, used)  # the job may have freed what was left
        self._slots.measured(one, known.used, known.peak)
