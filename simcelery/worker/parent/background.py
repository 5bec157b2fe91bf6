"""Something that is done now and then in its own thread, so that it holds up nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from simcelery.worker.ticker import Ticker

# Who asks waits so long (seconds) for the end: what is quick comes one after the other, on one connection.
_LONGEST_WAIT = 1.0


class Background:
    """Calls `action` once for each call of its own. Must not be called while the last call is under way."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._action = action
        self._ended = threading.Event()
        self._ticker = Ticker(name, self._act, 0.0)
        self._ticker.rest()
        self._ticker.start()

    def __call__(self) -> None:
        """Start the action, and wait a little for it to end."""
        self._ended.clear()
        self._ticker.stir()
        self._ended.wait(_LONGEST_WAIT)

    def _act(self) -> None:
        self._ticker.rest()
        try:
            self._action()
        finally:
            self._ended.set()
