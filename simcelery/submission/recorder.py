"""Records single submissions that come thick and fast: many of them in one transaction."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from simcelery.errors import ServiceError
from simcelery.pauses import growing

T = TypeVar("T")

log = logging.getLogger(__name__)

_WINDOW = 0.02  # seconds that the first one waits for others
_ENOUGH = 2_000  # that are not worth waiting for more
_MOST = 20_000  # that wait for the board before whoever brings another one has to wait, too
_IDLE = 2.0  # seconds after which the thread ends if nothing comes


class Recorder(Generic[T]):
    """What is put here is recorded within moments, in this order, by a thread.

    Parameters:
        write: records some. If the board cannot be reached, they are tried again until it can.
        at_once: how many at most are written together.
    """

    def __init__(self, write: Callable[[list[T]], None], at_once: int) -> None:
        self._write = write
        self._at_once = at_once
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()
        self._under_way: list[T] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._writing = threading.Lock()

    def put(self, item: T) -> None:
        """Have it recorded soon."""
        with self._changed:
            if len(self._waiting) >= _MOST and threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: len(self._waiting) < _MOST)
            self._waiting.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="simcelery-recorder", daemon=True)
                self._thread.start()
            if len(self._waiting) in (1, _ENOUGH):
                self._changed.notify_all()

    def waiting(self) -> list[T]:
        """What is not recorded yet, or just being recorded."""
        with self._changed:
            return [*self._under_way, *self._waiting]

    def take_back(self, is_wanted: Callable[[T], bool]) -> list[T]:
        """Those that are not recorded, and now never will be; waits for what is just being written.

        That may yet fail, and come back.
        """
        with self._writing, self._changed:
            back = [one for one in self._waiting if is_wanted(one)]
            self._waiting = deque(one for one in self._waiting if not is_wanted(one))
            self._changed.notify_all()
        return back

    def flush(self) -> None:
        """Record all that waits, here and now.

        Raises:
            ServiceError: the board cannot be reached; it still waits.
        """
        while True:
            with self._writing:
                if not self._write_some():
                    return

    def close(self) -> None:
        """Let the thread end as soon as it has nothing to do."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def after_fork(self) -> None:
        """In a child process: what waits is the parent's, and so is the thread."""
        self._changed, self._writing = threading.Condition(), threading.Lock()
        self._waiting.clear()
        self._under_way = []
        self._thread = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def _write_some(self) -> bool:
        """Record the oldest; whether there were any. Held by `_writing`."""
        with self._changed:
            some = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
            self._under_way = some
        if not some:
            return False
        try:
            self._write(some)
        except BaseException:
            with self._changed:
                self._waiting.extendleft(reversed(some))
                self._under_way = []
            raise
        with self._changed:
            self._under_way = []
            self._changed.notify_all()
        return True

    def _run(self) -> None:
        pauses = growing(0.2, 5.0)
        told = False
        while self._has_work():
            try:
                with self._writing:
                    self._write_some()
            except ServiceError as error:
                if not told:
                    log.warning("%s; %s calls wait to be recorded", error, f"{len(self):,}")
                    told = True
                with self._changed:
                    self._changed.wait(next(pauses))
            else:
                pauses, told = growing(0.2, 5.0), False

    def _has_work(self) -> bool:
        """Whether anything waits, after a moment in which more may come."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait_for(lambda: self._waiting or self._closing, _IDLE)
            if not self._waiting:
                self._thread = None
                return False
            self._changed.wait_for(lambda: len(self._waiting) >= _ENOUGH or self._closing, _WINDOW)
            return True
