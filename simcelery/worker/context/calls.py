"""Which call of a step this is: the n-th one with the same key within an attempt is a step of its own.

So four draws of a random number are four numbers, and the same four in the next attempt. Calls within another
step are counted for that one: where it is found on the board, they are not made.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_around: ContextVar[tuple[str, ...]] = ContextVar("the keys of the steps around", default=())


class Calls:
    """Those that one attempt has made, or is making."""

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
        self._lock = threading.Lock()  # a workflow may make steps in several threads

    @contextmanager
    def next(self, key: str) -> Iterator[str]:
        """The key of the next call of a step. A call that raises does not count, nor do those within it."""
        place = (*_around.get(), key)
        with self._lock:
            number = next(n for n in itertools.count(1) if n not in self._taken[place])
            self._taken[place].add(number)
        within = (*_around.get(), _numbered(place, number))
        before = _around.set(within)
        try:
            yield within[-1]
        except BaseException:
            with self._lock:
                self._taken[place].remove(number)
                for other in [each for each in self._taken if each[: len(within)] == within]:
                    del self._taken[other]
            raise
        finally:
            _around.reset(before)


def other_calls(key: str, most: int) -> Collection[str]:
    """The keys of the first calls, up to so many, of the step that is made now."""
    place = (*_around.get()[:-1], key)
    return {_numbered(place, number) for number in range(1, most + 1)}


def _numbered(place: tuple[str, ...], number: int) -> str:
    if len(place) == 1 and number == 1:
        return place[0]
    return hashlib.sha256(json.dumps([place, number]).encode()).hexdigest()
