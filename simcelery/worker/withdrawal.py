"""A worker whose node takes no files: its folders are full, read-only, gone. No job is to blame for that.

What was claimed goes back to the board as if it had never been, the worker takes no jobs, and says so on the
board and in its log. It looks again every few seconds, and goes on when files can be written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from simcelery.board import engine, leases
from simcelery.board.leases import Registration
from simcelery.errors import ServiceError
from simcelery.execution import places
from simcelery.execution.places import Unusable
from simcelery.settings import Settings, get_settings
from simcelery.worker import folders
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


class Withdrawal:
    """The parent's part: no messages until the node's folders can be used again.

    Parameters:
        consumer: gives the worker's consumer, which takes the messages.
    """

    def __init__(
        self, slots: Slots, settings: Settings, me: Registration, consumer: Callable[[], Any]
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._me = me
        self._consumer = consumer
        self._left = False
        self._noted: str | None = None
        self._look_at = float("-inf")

    def look(self) -> None:
        """One look; does nothing unless a child has said that it cannot work."""
        if not self._slots.unusable or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY
        found = trouble(self._settings, make=True)
        if found is None:
            self._return()
        else:
            self._leave(found)

    def _leave(self, found: str) -> None:
        if not self._left:
            log.error("this worker takes no jobs until files can be written again: %s", found)
            self._consumer().leave_all_queues()
            self._left = True
        if self._noted != found and self._note(f"takes no jobs: {found}"):
            self._noted = found

    def _return(self) -> None:
        if self._noted is not None and not self._note(None):
            return
        self._noted = None
        self._slots.usable()
        if self._left:
            log.warning("files can be written again: this worker goes on")
            self._consumer().return_to_queues()
            self._left = False

    def _note(self, note: str | None) -> bool:
        try:
            with engine.begin(self._settings) as connection:
                if note is None:
                    leases.lift(connection, self._me)
                else:
                    leases.withdraw(connection, self._me, note)
        except ServiceError as error:
            log.warning("that this worker takes no jobs is not noted on the board: %s", error)
            return False
        return True
