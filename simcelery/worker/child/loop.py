"""A pool child's loop over its messages: Celery's, except that before each it checks whether to exit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from billiard.pool import EX_FAILURE, EX_OK, EX_RECYCLE
from celery.concurrency.asynpool import Worker

from simcelery.worker.child import leaving

_LONGEST_WAIT = 1.0  # seconds until the parent has read how the last message went


class BoardWorker(Worker):  # type: ignore[misc]
    """The object that the pool calls in each child that it forks."""

    wait_for_job: Callable[[], Any]
    on_ready_counter: Any

    def _make_child_methods(self, *args: Any, **kwargs: Any) -> None:
        super()._make_child_methods(*args, **kwargs)
        receive = self.wait_for_job

        def next_message() -> Any:
            if leaving.is_due():
                leaving.end(self.on_exit, EX_RECYCLE)
            return receive()

        self.wait_for_job = next_message

    def _ensure_messages_consumed(self, completed: int) -> bool:
        # Celery's own waits half a minute, and a parent that stops reads no more. The board knows everything
        # by now; what the parent has not read yet stays in the pipe.
        until = time.monotonic() + _LONGEST_WAIT
        while not (consumed := bool(self.on_ready_counter.value >= completed)) and time.monotonic() < until:
            time.sleep(0.01)
        return consumed

    def _do_exit(self, pid: int, exitcode: int | None, exc: Exception | None = None) -> None:
        # Celery's own announces the end, waits a second for a signal, and so holds up each end of a worker.
        # The pool hears of it all the same: the child's descriptors close.
        leaving.end(self.on_exit, (EX_FAILURE if exc else EX_OK) if exitcode is None else exitcode)
