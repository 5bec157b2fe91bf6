"""Connections for who does without SQLAlchemy, whose import takes longer than all else that a client does.

They are lent for what is a single message, and to those that only look. A process keeps one of them. Once it
has an engine for a board, these are the engine's: nobody keeps connections twice.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg

from simcelery.board import connecting, faults

# A connection that has rested for so long (seconds) is tried before it is used again.
REST = 1.0
# A process has so many at once; who wants one more waits for so long (seconds).
AT_ONCE, LONGEST_WAIT = 10, 30

Driver = psycopg.Connection[Any]
_Lent = AbstractContextManager[Driver]

_engines: dict[tuple[int, str], Callable[[], _Lent]] = {}
_idle: dict[tuple[int, str], tuple[Driver, float]] = {}  # and since when
_places: dict[int, threading.BoundedSemaphore] = {}  # a fork begins with all of them


def lent(url: str) -> _Lent:
    """A connection without a transaction. If the block raises, it is closed: nobody knows what it was in.

    Raises:
        BoardUnreachableError: all are in use.
        psycopg.Error: Postgres cannot be reached; as the engine says it, where there is one.
    """
    of_engine = _engines.get((os.getpid(), url))
    return of_engine() if of_engine else _own(url)


@contextmanager
def _own(url: str) -> Iterator[Driver]:
    pid = os.getpid()
    places = _places.get(pid) or _places.setdefault(pid, threading.BoundedSemaphore(AT_ONCE))
    if not places.acquire(timeout=LONGEST_WAIT):
        raise faults.all_in_use(url)
    try:
        driver = _kept(url) or connecting.connect(url, prepared_statements=False, autocommit=True)
        try:
            yield driver
        except BaseException:
            driver.close()
            raise
        _keep(url, driver)
    finally:
        places.release()


def _kept(url: str) -> Driver | None:
    """The connection that was kept, if it is still of use."""
    found = _idle.pop((os.getpid(), url), None)
    if found is None:
        return None
    driver, since = found
    if is_of_use(driver, since):
        return driver
    driver.close()
    return None


def is_of_use(driver: Driver, since: float) -> bool:
    """Whether a connection that has rested since then still leads to Postgres.

    An idle process must survive a restart of Postgres; a busy one should not pay for a question each time,
    and only looks whether something has arrived, which can only be a farewell.
    """
    if time.monotonic() - since < REST:
        arrived = select.poll()
        arrived.register(driver, select.POLLIN)
        return not arrived.poll(0)
    try:
        driver.execute("")
    except psycopg.Error:
        return False
    return True


def _keep(url: str, driver: Driver) -> None:
    key = os.getpid(), url
    if key in _engines or _idle.setdefault(key, (driver, time.monotonic()))[0] is not driver:
        driver.close()


def hand_over(url: str, lend: Callable[[], _Lent]) -> None:
    """From now on this process's connections to this board are those of its engine."""
    _engines[os.getpid(), url] = lend
    close()


def take_back() -> None:
    """There is no engine any more."""
    _engines.clear()
    close()


def close() -> None:
    """Close the connection that this process keeps. A parent's is not ours to close."""
    for key in [key for key in _idle if key[0] == os.getpid()]:
        if found := _idle.pop(key, None):
            found[0].close()
