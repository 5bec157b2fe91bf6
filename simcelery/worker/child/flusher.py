"""A thread of each pool child for what must not wait for a long job: the slice, and the idle connection."""

from __future__ import annotations

import time
from typing import Protocol

from simcelery.board import engine
from simcelery.execution import capture, workdir
from simcelery.worker import slots
from simcelery.worker.child import pace
from simcelery.worker.outcomes import endings
from simcelery.worker.slots.layout import Phase
from simcelery.worker.ticker import Ticker

_EVERY = 0.1  # seconds between two looks
_PRINTS_EVERY = 0.5  # seconds until others see what Python has printed
# Seconds that a connection may rest: with a job that does not use it, and with an idle child.
_BUSY_REST, _IDLE_REST = 2.0, 30.0


class Flushable(Protocol):
    """A slice."""

    begun: float

    def flush(self) -> None:
        """Write what is ready, and put back what has not started."""


_watched: Flushable | None = None
_ticker: Ticker | None = None
_flushed_at = 0.0


def watch(slice_: Flushable) -> None:
    """Flush this slice, instead of any earlier one, when its time is up."""
    global _watched, _ticker
    _watched = slice_
    if not slots.mine.in_pool_child:
        return
    if _ticker is None or not _ticker.is_alive():
        _ticker = Ticker("flusher", _look, _EVERY)
        _ticker.start()
    _ticker.stir()


def _look() -> None:
    assert _ticker is not None
    busy = slots.mine.phase is not Phase.IDLE
    if busy and _watched is not None and time.monotonic() - _watched.begun > pace.SLICE:
        _watched.flush()
    _flush_prints()
    if not busy:  # what is written while a job runs is taken for its output
        endings.flush()
    engine.release_rested(_BUSY_REST if busy else _IDLE_REST)
    if not busy and not engine.is_connected():
        workdir.tidy()
        _ticker.rest()


def _flush_prints() -> None:
    global _flushed_at
    now = time.monotonic()
    if slots.mine.phase is Phase.RUNNING and now - _flushed_at > _PRINTS_EVERY:
        _flushed_at = now
        capture.flush_along()
