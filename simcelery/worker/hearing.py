"""A worker that has gone deaf: after a reconnect its consumer may wait for messages that never reach it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from simcelery import broker
from simcelery.errors import BrokerUnreachableError
from simcelery.worker.shutdown import Shutdown
from simcelery.worker.slots import Slots

log = logging.getLogger(__name__)

EVERY = 5.0
_LOOKS = 3  # so many looks in a row at an idle worker and waiting messages, before something is done
_TRIES = 2  # so many reconnections, before the worker gives way to a new one
_EXIT_AFTER = 15.0  # seconds that the event loop gets to end by itself


class Hearing:
    """Notices that messages wait while this worker is idle; first reconnects, then ends the worker.

    Parameters:
        queues: gives the queues that are consumed now.
        reconnect: has the consumer connect anew.
    """

    def __init__(
        self,
        slots: Slots,
        shutdown: Shutdown,
        queues: Callable[[], list[str]],
        reconnect: Callable[[], Any],
    ) -> None:
        self._slots = slots
        self._shutdown = shutdown
        self._queues = queues
        self._reconnect = reconnect
        self._claims = 0
        self._silent_looks = self._tries = 0
        self._failed_at: float | None = None

    def look(self) -> None:
        """One look."""
        if self._failed_at is not None:
            if time.monotonic() - self._failed_at > _EXIT_AFTER:
                os._exit(1)  # the event loop hangs; nothing runs here
            return
        if not self._is_silent():
            self._silent_looks = 0
            return
        self._silent_looks += 1
        if self._silent_looks >= _LOOKS:
            self._silent_looks = 0
            self._do_something()

    def _is_silent(self) -> bool:
        claims = self._slots.claims
        progress, self._claims = claims != self._claims, claims
        if progress:
            self._tries = 0
        busy = any(True for _ in self._slots.busy()) or bool(state.reserved_requests)
        return not (progress or busy or self._slots.closed) and self._messages_wait()

    def _messages_wait(self) -> bool:
        lanes = [(queue, priority) for queue in self._queues() for priority in range(broker.MOST_URGENT + 1)]
        try:
            return bool(lanes) and any(broker.lengths(lanes))
        except BrokerUnreachableError:
            return False  # it knows, and tries to reconnect

    def _do_something(self) -> None:
        if self._tries < _TRIES:
            self._tries += 1
            log.warning("messages wait, but none reaches this idle worker: it connects to Redis anew")
            self._reconnect()
        else:
            self._failed_at = time.monotonic()
            self._shutdown.fail("no message reaches this worker any more; it ends, to be started anew")
