"""A thread of a worker's process that does something repeatedly, and survives forks."""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Callable

log = logging.getLogger(__name__)

# A fork waits for those first that wait for others.
_ORDER = {"recovery": -1, "supervisor": 1, "lease": 2}
_tickers: weakref.WeakSet[Ticker] = weakref.WeakSet()


class Ticker(threading.Thread):
    """Calls `action` every `every` seconds until it is stopped. Errors are logged, never fatal.

    A fork copies only the thread that forks, but all locks in their current state. So a fork waits until no
    ticker is in the middle of its action, where it may hold locks of libraries.
    """

    def __init__(self, name: str, action: Callable[[], object], every: float) -> None:
        super().__init__(name=name, daemon=True)
        self._action = action
        self._every = every
        self._sooner: float | None = None
        self._stopped = False
        self._resting = False
        self._woken = threading.Event()
        self._acting = threading.Lock()
        _tickers.add(self)

    def run(self) -> None:
        """The loop."""
        # A signal that the main thread waits for, or holds back, is not for this one to take.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self._waits():
            with self._acting:
                try:
                    self._action()
                except Exception:
                    log.exception("%s failed; it continues", self.name)

    def _waits(self) -> bool:
        """Wait for the next turn; False if there is none."""
        pause, self._sooner = self._sooner or self._every, None
        self._woken.wait(None if self._resting else pause)
        self._woken.clear()
        return not self._stopped

    def stop(self) -> None:
        """Stop after the action under way, if any."""
        self._stopped = True
        self._woken.set()

    def again_in(self, seconds: float) -> None:
        """Called from its own action: act again after so long; once, and no later than usual."""
        self._sooner = min(seconds, self._every)

    def wake(self) -> None:
        """Act now instead of at the next turn."""
        self._woken.set()

    def rest(self) -> None:
        """Called from its own action: pause until somebody calls `stir`."""
        self._resting = True

    def stir(self) -> None:
        """Resume. Costs next to nothing if it is not paused."""
        if self._resting:
            self._resting = False
            self._woken.set()


def _hold() -> None:
    # Those that nothing may hold up come last: while others are waited for, they go on.
    for ticker in sorted(_tickers, key=lambda ticker: _ORDER.get(ticker.name, 0)):
        ticker._acting.acquire()


def _let_go() -> None:
    for ticker in _tickers:
        ticker._acting.release()


def _forget() -> None:
    _tickers.clear()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)
