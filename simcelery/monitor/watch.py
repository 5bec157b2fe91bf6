"""What one thread sees again and again, for those who must not wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from simcelery.errors import SimceleryError

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY = 15.0  # seconds from one look to the next
# As the pages do, it takes at most one part in so many of Postgres's time.
_SHARE = 12
_LATE = 30.0  # seconds after which a look that was due has been given up


def interval(took: float, succeeded: bool) -> float:
    """Seconds from one look to the next: what does not answer costs nothing, and is soon asked again."""
    return max(EVERY, (_SHARE if succeeded else 1) * took)


class Watch(Generic[T]):
    """Begins to look when it is asked for the first time, and never ends: one process needs one."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = threading.Event()
        self._value: T | None = None
        self._seen_at: float | None = None
        self._due = 0.0

    def newest(self, patience: float) -> tuple[T | None, float | None]:
        """What was seen last, and how many seconds ago. Only the first look is waited for.

        Parameters:
            patience: seconds.

        Returns:
            Nothing, if the last look failed or has not come back; and since when. Neither, if none succeeded.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
        self._looked.wait(patience)
        with self._lock:
            now = time.monotonic()
            value = self._value if now < self._due + _LATE else None
            return value, None if self._seen_at is None else now - self._seen_at

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            value = self._once()
            took = time.monotonic() - began
            with self._lock:
                if value is not None:
                    self._seen_at = began
                self._value = value
                self._due = began + interval(took, value is not None)
            self._looked.set()
            time.sleep(max(0.0, self._due - time.monotonic()))

    def _once(self) -> T | None:
        try:
            return self._look()
        except SimceleryError as error:
            if self._value is not None or not self._looked.is_set():  # not every time
                log.warning("there are no numbers for /metrics: %s", error)
        except Exception:
            log.exception("there are no numbers for /metrics")
        return None
