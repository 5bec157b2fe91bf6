"""The pool of a worker's children: Celery's own; a child may leave in order, and is replaced at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from billiard.pool import EX_FAILURE, EX_OK, EX_RECYCLE
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.asynpool import Worker as AsynWorker

from simcelery.worker.child import leaving

_LONGEST_END = 1.0  # seconds from the last descriptor that a child closes to its death


class BoardWorker(AsynWorker):  # type: ignore[misc]
    """What a child does: it asks itself before each message whether it is to go."""

    wait_for_job: Callable[[], Any]

    def _make_child_methods(self, *args: Any, **kwargs: Any) -> None:
        super()._make_child_methods(*args, **kwargs)
        receive = self.wait_for_job

        def next_message() -> Any:
            if leaving.is_due():
                leaving.end(self.on_exit, EX_RECYCLE)
            return receive()

        self.wait_for_job = next_message

    def _do_exit(self, pid: int, exitcode: int | None, exc: Exception | None = None) -> None:
        # Celery's own announces the end, waits a second for a signal, and so holds up each end of a worker.
        # The pool hears of it all the same: the child's descriptors close.
        leaving.end(self.on_exit, (EX_FAILURE if exc else EX_OK) if exitcode is None else exitcode)


class BoardPool(AsynPool):  # type: ignore[misc]
    """The parent's side."""

    Worker = BoardWorker

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        # A child that ends closes its descriptors a moment before it can be waited for. Whoever asks too
        # early asks again after 5 s, and so long its place is empty.
        until = time.monotonic() + _LONGEST_END
        while proc._is_alive() and time.monotonic() < until:
            time.sleep(0.001)
        super()._event_process_exit(hub, proc)
