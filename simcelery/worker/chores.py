"""What the worker's parent process writes to the board, in a thread that may wait for it.

Neither the event loop, nor the lease, nor the watch over attempts waits for Postgres or for the home folder:
they leave here what is to be written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from simcelery.errors import ServiceError
from simcelery.settings import Settings
from simcelery.worker import spool
from simcelery.worker.patience import waiting_for_schema
from simcelery.worker.ticker import Ticker

log = logging.getLogger(__name__)

EVERY = 0.25
_SPOOL_EVERY = 5.0
_LAST_ROUND = 10.0  # seconds for a round under way when the worker ends

_actions: deque[Callable[[], object]] = deque()


def add(action: Callable[[], object]) -> None:
    """Have it done soon; while it raises `ServiceError`, again later. From any thread."""
    _actions.append(action)


class Chores:
    """Does them, and delivers what lies in the spool."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spool_at = 0.0
        self._waiting = False
        self._doing = threading.Lock()
        self._ticker = Ticker("chores", self.round, EVERY)

    def start(self) -> None:
        """From now on."""
        self._ticker.start()

    def finish(self) -> None:
        """Do the last of them; what cannot be done now is not done by this worker."""
        self._ticker.stop()
        # Never two at once: each would do, and then forget, what the other has begun.
        if not self._doing.acquire(timeout=_LAST_ROUND):
            log.warning("what is being written is left to recovery: the board does not answer")
            return
        try:
            self._spool_at = 0.0
            self._round()
        finally:
            self._doing.release()

    def round(self) -> None:
        """One round. The first that the board does not let through ends it."""
        with self._doing:
            self._round()

    def _round(self) -> None:
        try:
            _do_all()
            if time.monotonic() >= self._spool_at:
                self._spool_at = time.monotonic() + _SPOOL_EVERY
                waiting_for_schema(lambda: spool.deliver(self._settings))
            self._waiting = False
        except ServiceError as error:
            if not self._waiting:  # said once, not four times a second
                log.warning("what is to be written waits until the board is back: %s", error)
            self._waiting = True


def _do_all() -> None:
    while _actions:
        try:
            waiting_for_schema(_actions[0])
        except ServiceError:
            raise
        except Exception:
            log.exception("a chore failed, and is given up")
        _actions.popleft()
