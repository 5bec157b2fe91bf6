"""A thread of a worker's process that does something repeatedly, and survives forks."""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

# A fork waits for those first that wait for others.
_ORDER = {"recovery": -1, "supervisor": 1, "lease": 2}
_tickers: weakref.WeakSet[Ticker] = weakref.WeakSet()
_dozing: list[Ticker] = []  # those that may doze

# Seconds between two turns of one that dozes: nobody's promise depends on what it finds then.
DOZE = 2.0


class Ticker(threading.Thread):
    """Calls `action` every `every` seconds until it is stopped. Errors are logged, never fatal.

    Parameters:
        quiet: whether there is nothing to look at. While it says so before and after a turn, the ticker
            dozes, and takes a turn only every `DOZE` seconds, until `rouse` is called.

    A fork copies only the thread that forks, but all locks in their current state. So a fork waits until no
    ticker is in the middle of its action, where it may hold locks of libraries.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], object],
        every: float,
        quiet: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._action = action
        self._every = every
        self._quiet = quiet
        self._was_quiet = self._dozes = False
        self._once: float | None = None
        self._stopped = False
        self._resting = False
        self._woken = threading.Event()
        self._acting = threading.Lock()
        _tickers.add(self)
        if quiet is not None:
            _dozing.append(self)

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
        pause, self._once = self._once or self._every, None
        if self._falls_asleep():
            pause = max(pause, DOZE)
        self._woken.wait(None if self._resting else pause)
        self._woken.clear()
        self._dozes = False
        return not self._stopped

    def _falls_asleep(self) -> bool:
        if self._quiet is None:
            return False
        self._dozes = True  # before it looks: what begins after its look rouses it
        was_quiet, self._was_quiet = self._was_quiet, False
        with suppress(Exception):  # a slot that is just being written cannot be read: then it is not
            self._was_quiet = self._quiet()
        self._dozes = was_quiet and self._was_quiet
        return self._dozes

    def stop(self) -> None:
        """Stop after the action under way, if any."""
        self._stopped = True
        self._woken.set()

    def again_in(self, seconds: float) -> None:
        """Called from its own action: act again after so long; once, and no later than usual."""
        self._once = min(seconds, self._every)

    def not_before(self, seconds: float) -> None:
        """Called from its own action: act again after so long; once, and no sooner than usual."""
        self._once = max(seconds, self._every)

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


def rouse() -> None:
    """Something begins, or is to be done: whoever dozes looks at once. Cheap if nobody does."""
    for ticker in _dozing:
        if ticker._dozes:
            ticker.wake()


def _hold() -> None:
    # Those that nothing may hold up come last: while others are waited for, they go on.
    for ticker in sorted(_tickers, key=lambda ticker: _ORDER.get(ticker.name, 0)):
        ticker._acting.acquire()


def _let_go() -> None:
    for ticker in _tickers:
        ticker._acting.release()


def _forget() -> None:
    _tickers.clear()
    _dozing.clear()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)
