"""A worker whose node takes no files: its folders are full, read-only, gone. No job is to blame for that.

What was claimed goes back to the board as if it had never been, the worker takes no jobs, and says so on the
board and in its log. It looks again every few seconds, and goes on when files can be written.
"""

from __future__ import annotations

import logging
import time

from simcelery.execution import places
from simcelery.execution.places import Unusable
from simcelery.settings import Settings, get_settings
from simcelery.worker import folders
from simcelery.worker.parent.withdrawal import Withdrawal
from simcelery.worker.slots import Slots

log = logging.getLogger(__name__)

EVERY = 0.25  # seconds
LOOK_EVERY = 1.0  # seconds between two looks at the node's folders

_looked_at = float("-inf")


def check() -> None:
    """From a pool child, before each attempt; it looks once a second.

    Raises:
        Unusable: a folder has no room.
    """
    global _looked_at
    now = time.monotonic()
    if now - _looked_at < LOOK_EVERY:
        return
    if found := places.full(folders.needed(get_settings())):
        raise Unusable(found)
    _looked_at = now


def trouble(settings: Settings, *, make: bool = False) -> str | None:
    """One line about what a worker on this node lacks, or None."""
    try:
        return places.trouble(folders.needed(settings), mode=settings.mode_of_workdirs if make else None)
    except Unusable as error:
        return str(error)


class Node:
    """The parent's part: the worker is withdrawn until the node's folders can be used again."""

    def __init__(self, slots: Slots, settings: Settings, withdrawal: Withdrawal) -> None:
        self._slots = slots
        self._settings = settings
        self._withdrawal = withdrawal
        self._look_at = float("-inf")

    def look(self) -> None:
        """One look; does nothing unless a child has said that it cannot work."""
        if not self._slots.unusable or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY
        found = trouble(self._settings, make=True)
        if found is not None:
            if self._withdrawal.begin(_REASON, f"takes no jobs: {found}"):
                log.error("this worker takes no jobs until files can be written again: %s", found)
            return
        self._slots.usable()
        if self._withdrawal.end(_REASON):
            log.warning("files can be written again: this worker goes on")


_REASON = "node"
