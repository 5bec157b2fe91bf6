"""What the worker's parent process writes to the board, in a thread that may wait for Postgres.

Neither the event loop, nor the lease, nor the supervisor waits for Postgres or for the home folder: they
leave here what has to be written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable

from simcelery.broker.sparing import Sparing
from simcelery.errors import ServiceError
from simcelery.settings import Settings
from simcelery.worker.outcomes import endings, spool
from simcelery.worker.ticker import Ticker, rouse
from simcelery.worker.waiting import waiting_for_schema

log = logging.getLogger(__name__)

EVERY = 0.25
_SPOOL_EVERY = 5.0
_LAST_ROUND = 10.0  # seconds for a round under way when the worker ends

MOST = 10_000  # far more than a worker has pool children


class _Waiting:
    """Actions in the order in which they were added, each under a key of its own."""

    def __init__(self) -> None:
        self._actions: dict[Hashable, Callable[[], object]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._actions)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._actions

    def add(self, key: Hashable, action: Callable[[], object]) -> bool:
        with self._lock:
            if key not in self._actions and len(self._actions) >= MOST:
                return False
            self._actions.setdefault(key, action)
        return True

    def first(self) -> tuple[Hashable, Callable[[], object]] | None:
        with self._lock:
            return next(iter(self._actions.items()), None)

    def done(self, key: Hashable) -> None:
        with self._lock:
            self._actions.pop(key, None)


_waiting = _Waiting()
_sparing = Sparing(log)


def add(key: Hashable, action: Callable[[], object]) -> bool:
    """Do this soon, and again later as long as it raises `ServiceError`. May be called from any thread.

    Parameters:
        key: identifies it. While something with this key is waiting, nothing is added: once is enough.

    Returns:
        False: too much is waiting already, and it will not be done.
    """
    if _waiting.add(key, action):
        rouse()
        return True
    _sparing.warning("full", f"{MOST:,} writes to the board are waiting: further ones are left to recovery")
    return False


def is_empty() -> bool:
    """Whether nothing waits."""
    return len(_waiting) == 0


def holds(key: Hashable) -> bool:
    """Whether something with this key waits, or is being done."""
    return key in _waiting


class Outbox:
    """Does the actions, delivers the outcomes in the spool, and tells the board what attempts print.

    Parameters:
        send: tells it; raises `ServiceError` if it cannot.
        quiet: whether no attempt runs here.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[], object] = lambda: None,
        quiet: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._send = send
        self._spool_at = 0.0
        self._waiting = False
        self._doing = threading.Lock()
        self._ticker = Ticker("outbox", self.round, EVERY, lambda: is_empty() and quiet())

    def start(self) -> None:
        """Start the thread."""
        self._ticker.start()

    def finish(self) -> None:
        """Do the remaining actions; what cannot be done now will not be done by this worker."""
        self._ticker.stop()
        # Never two at once: each would do, and then forget, what the other has begun.
        if not self._doing.acquire(timeout=_LAST_ROUND):
            log.warning("unfinished writes are left to recovery: the board does not answer")
            return
        try:
            self._spool_at = 0.0
            self._round()
        finally:
            self._doing.release()

    def round(self) -> None:
        """Do what can be done. The first action that fails because of the board ends the round."""
        with self._doing:
            self._round()

    def _round(self) -> None:
        endings.flush()
        try:
            _do_all()
            if time.monotonic() >= self._spool_at:
                self._spool_at = time.monotonic() + _SPOOL_EVERY
                waiting_for_schema(lambda: spool.deliver(self._settings))
            _try(self._send)
            self._waiting = False
        except ServiceError as error:
            if not self._waiting:  # said once, not four times a second
                log.warning("writes wait until the board is back: %s", error)
            self._waiting = True


def _do_all() -> None:
    while (first := _waiting.first()) is not None:
        key, action = first
        _try(action)
        _waiting.done(key)


def _try(action: Callable[[], object]) -> None:
    try:
        waiting_for_schema(action)
    except ServiceError:
        raise
    except Exception:
        log.exception("a write to the board failed, and is given up")
