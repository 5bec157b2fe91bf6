"""Log lines that others can cause in any number: at most one of each kind every few seconds."""

from __future__ import annotations

import logging
import time

EVERY = 10.0  # seconds between two lines of a kind, where nothing else is given


class Sparing:
    """Logs warnings, at most one of each kind in `every` seconds, and counts the others."""

    def __init__(self, log: logging.Logger, every: float = EVERY) -> None:
        self._log = log
        self._every = every
        self._said: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, text: str) -> None:
        """Log `text`, unless something of this kind was logged just now. There are only few kinds."""
        now = time.monotonic()
        if now < self._said.get(kind, -self._every) + self._every:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._said[kind] = now
        more = self._left_out.pop(kind, 0)
        self._log.warning("%s%s", text, f" ({more} more like this before)" if more else "")
