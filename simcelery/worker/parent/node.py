"""A worker on whose node no files can be written: folders are full, read-only or gone. No job is to blame.

Jobs that were claimed but not started are put back as if never claimed. The worker takes no jobs, and says
so on the board and in its log. It checks again regularly, and continues when files can be written.
"""

from __future__ import annotations

import logging
import time

from simcelery.settings import Settings
from simcelery.worker import folders
from simcelery.worker.parent.withdrawal import Withdrawal
from simcelery.worker.slots.parent import Slots

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds
_REASON = "node"
_LOOK_EVERY = 1.0  # seconds between two looks at the node's folders


class Node:
    """The parent's part: the worker is withdrawn until the node's folders can be used again."""

    def __init__(self, slots: Slots, settings: Settings, withdrawal: Withdrawal) -> None:
        self._slots = slots
        self._settings = settings
        self._withdrawal = withdrawal
        self._look_at = float("-inf")

    def look(self) -> None:
        """Check once; does nothing unless a child has reported that it cannot work."""
        if not self._slots.unusable or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_EVERY
        found = folders.trouble(self._settings, make=True)
        if found is not None:
            if self._withdrawal.begin(_REASON, f"takes no jobs: {found}"):
                log.error("this worker takes no jobs until files can be written again: %s", found)
            return
        self._slots.usable()
        if self._withdrawal.end(_REASON):
            log.warning("files can be written again: this worker takes jobs again")
