"""What everybody who looks sees: read once for all of them, and only while somebody looks.

All that is watched at the same time shares the time that Postgres spends on it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from simcelery.errors import JobNotFoundError, SimceleryError
from simcelery.monitor.asking import taken

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY = 2.0  # seconds from one look to the next
# Of its time, Postgres spends at most one part in so many on one kind of look, so a large board is looked at
# less often; and one in so many on all together, so each of many jobs that are watched is, too.
_SHARE, _SHARE_OF_ALL = 12, 4
_RECENT = 15.0


class Budget:
    """Of all looks together; `until`: when the next one may be."""

    def __init__(self) -> None:
        self.until = 0.0

    def spend(self, seconds: float) -> None:
        """A look has just taken so long."""
        self.until = max(self.until, time.monotonic() - seconds) + _SHARE_OF_ALL * seconds


BUDGET = Budget()


class Live(Generic[T]):
    """The newest of what `look` returns.

    Whoever asks while a look is under way waits for that one. It all happens in one event loop, so that no
    lock is needed.
    """

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._under_way: asyncio.Task[T] | None = None
        self._newest: asyncio.Task[T] | None = None
        self._seen = self._due = 0.0

    async def newest(self) -> T:
        """What was seen last, if no other look is due yet; otherwise what is seen now.

        Raises:
            Whatever `look` does; for all who ask until the next one is due.
        """
        if self._newest is None or time.monotonic() >= self._due:
            if self._under_way is None:
                self._under_way = asyncio.create_task(self._again())
                # If nobody has waited for it, nobody has to hear of its error.
                self._under_way.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Whoever leaves must not take the others' answer along.
            return await asyncio.shield(self._under_way)
        return self._newest.result()

    async def recent(self) -> T:
        """What was seen a moment ago, if it was: for a page, whose news follow anyway.

        Raises:
            As `newest`.
        """
        seen = self._newest
        if seen is not None and seen.exception() is None and time.monotonic() < self._seen + _RECENT:
            return seen.result()
        return await self.newest()

    async def _again(self) -> T:
        began = time.monotonic()
        taken.set(0.0)
        try:
            return await self._look()
        except JobNotFoundError:
            raise
        except SimceleryError as error:
            if self._newest is None or self._newest.exception() is None:  # not every time
                log.warning("the board cannot be seen: %s", error)
            raise
        finally:
            seconds, ended = taken.get(), time.monotonic()
            BUDGET.spend(seconds)
            self._seen = ended
            own = ended + (_SHARE - 1) * seconds
            self._due = max(began + EVERY, own, min(BUDGET.until, ended + _RECENT))
            self._newest, self._under_way = self._under_way, None

    def forget(self) -> None:
        """Look again for whoever asks next: what was seen is known to have changed."""
        self._newest = None

    def pause(self) -> float:
        """Seconds until another look is due."""
        return max(0.0, self._due - time.monotonic())
