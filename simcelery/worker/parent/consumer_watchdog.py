"""Notice a deaf worker: after a reconnect, its consumer may wait for messages that never reach it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from simcelery import broker
from simcelery.board import engine, reads
from simcelery.broker.parking import parked
from simcelery.broker.transport import Channel
from simcelery.errors import BrokerUnreachableError, ServiceError
from simcelery.worker.parent.lease import Lease
from simcelery.worker.parent.shutdown import Shutdown
from simcelery.worker.slots.parent import Slots

log = logging.getLogger(__name__)

EVERY = 5.0
_LOOKS = 3  # so many looks in a row at an idle worker and waiting messages, before something is done
_TRIES = 2  # so many reconnections, before the worker gives way to a new one
_EXIT_AFTER = 15.0  # seconds that the event loop gets to end by itself


class ConsumerWatchdog:
    """Notices that messages wait while this worker is idle; first reconnects, then makes the worker exit.

    Parameters:
        lease: knows the lanes of this worker; messages elsewhere do not matter.
        reconnect: makes the consumer reconnect.
    """

    def __init__(
        self,
        slots: Slots,
        shutdown: Shutdown,
        lease: Lease,
        reconnect: Callable[[], Any],
    ) -> None:
        self._slots = slots
        self._shutdown = shutdown
        self._lease = lease
        self._reconnect = reconnect
        self._seen = (0, 0)
        self._silent_looks = self._tries = 0
        self._failed_at: float | None = None

    def look(self) -> None:
        """Check once."""
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
        # One that takes messages only to drop them is not deaf.
        seen = (self._slots.claims, Channel.taken)
        progress, self._seen = seen != self._seen, seen
        if progress:
            self._tries = 0
        busy = any(True for _ in self._slots.busy()) or bool(state.reserved_requests) or parked.any
        return not (progress or busy or self._slots.closed) and self._messages_wait()

    def _messages_wait(self) -> bool:
        try:
            return broker.anything_in(self._lease.lanes())
        except BrokerUnreachableError:
            return False  # it knows, and tries to reconnect

    def _jobs_wait(self) -> bool:
        try:
            with engine.begin() as connection:
                return reads.anything_pending(connection, self._lease.queues, self._lease.workflows)
        except ServiceError:
            return False

    def _do_something(self) -> None:
        if self._tries < _TRIES:
            self._tries += 1
            log.warning("messages are waiting, but none reaches this idle worker: reconnecting to Redis")
            self._reconnect()
        elif self._jobs_wait():
            self._failed_at = time.monotonic()
            self._shutdown.fail(
                "messages no longer reach this worker; exiting so that its supervisor can restart it"
            )
