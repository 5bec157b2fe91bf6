"""The pool of a worker's children: Celery's own, except that a child that exits is replaced at once."""

from __future__ import annotations

import time
from typing import Any

from celery import platforms
from celery.concurrency.asynpool import AsynPool

from simcelery.execution import processes

# With cffi installed, billiard's own has each child load a parser of C first: most of what it did to begin.
platforms._set_pdeathsig = processes.end_with_parent

_LONGEST_END = 1.0  # seconds from the last descriptor that a child closes to its death


class BoardPool(AsynPool):  # type: ignore[misc]
    """The parent's side of the pool."""

    Worker: type  # what each child does

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        # A child that ends closes its descriptors a moment before it can be waited for. Whoever asks too
        # early asks again after 5 s, and so long its place is empty.
        until = time.monotonic() + _LONGEST_END
        while proc._is_alive() and time.monotonic() < until:
            time.sleep(0.001)
        super()._event_process_exit(hub, proc)
