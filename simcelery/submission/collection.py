"""Python's garbage collector, while thousands of objects are made that all live on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made between two collections: those of some 4,000 jobs. By default it is 700, and with each round
# all that the process has is looked through sooner or later: a third of the time that a bulk takes.
_BETWEEN = 20_000
_lock = threading.Lock()
_users = 0
_usual = gc.get_threshold()


@contextmanager
def rare() -> Iterator[None]:
    """Within the block, whatever the threads, collections are rare."""
    global _users, _usual
    with _lock:
        if not _users:
            _usual = gc.get_threshold()
            if 0 < _usual[0] < _BETWEEN:  # 0: there are none
                gc.set_threshold(_BETWEEN, *_usual[1:])
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                gc.set_threshold(*_usual)
