"""Finish: Celery's result backend, on top of the board.

Jobs are read from the board and finished there. Other Celery tasks use Celery's stock tables in the same
database. Nothing here unpickles.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from dataclasses import replace
from typing import Any

from celery import states as celery_states
from celery.backends.database import DatabaseBackend
from celery.exceptions import NotRegistered, TimeoutError

from simcelery.board import engine, reads
from simcelery.board.reads.jobs import JobRow
from simcelery.board.states import State
from simcelery.pauses import growing
from simcelery.settings import get_settings
from simcelery.submission import canvas
from simcelery.submission.handle import Job, restore
from simcelery.urls import masked
from simcelery.worker import slots
from simcelery.worker.outcomes import finish
from simcelery.workflows import registry

log = logging.getLogger(__name__)


class BoardBackend(DatabaseBackend):  # type: ignore[misc]
    """Celery's ``AsyncResult`` reads from it, and the tracer stores outcomes in it."""

    supports_native_join = False
    persistent = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["url"] = get_settings().board_url()
        super().__init__(*args, **kwargs)

    def as_uri(self, include_password: bool = False) -> str:
        """For a worker's banner; Celery's own cannot read a URL with several hosts."""
        url = get_settings().board_url()
        return url if include_password else masked(url)

    def ResultSession(self, session_manager: Any = None) -> Any:
        """A session for the stock tables on the board's engine: one pool per process, not one per call."""
        return engine.session()

    def _decode_stored_result(self, payload: Any) -> Any:
        return None if payload is None else self.decode(payload)

    # --- writing ---

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Finish a job's attempt; store any other task's result in the stock tables."""
        if isinstance(result, NotRegistered):
            return result  # not ours to judge: the job stays pending for a worker that knows the workflow
        if request is None or registry.find(request.task or "") is None:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        if state in celery_states.READY_STATES | {celery_states.RETRY}:
            self._finish(task_id, result, request)
        return result

    def _finish(self, task_id: str, result: Any, request: Any) -> None:
        try:
            job = uuid.UUID(task_id)
        except ValueError:
            return
        claim_id = getattr(request, "claim_id", None)
        if getattr(request, "finished", False):
            return  # in the pool child, as soon as the attempt had ended
        if claim_id is not None:
            finish.finish([replace(finish.unexpected(result), task_id=job, claim_id=claim_id)])
            slots.mine.idle()

    # --- reading ---

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            job_id = uuid.UUID(str(task_id))
        except ValueError:
            return super()._get_task_meta_for(task_id)  # type: ignore[no-any-return]
        with engine.begin() as connection:
            row = reads.job_by_task_id(connection, job_id)
        if row is None:
            return super()._get_task_meta_for(task_id)  # type: ignore[no-any-return]
        return _meta(row)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Any = None,
    ) -> dict[str, Any]:
        """Wait for a task; polls often at first, then less and less often, up to `interval` (at least 1 s).

        Raises:
            TimeoutError: it has not finished after `timeout` seconds.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        pauses = growing(0.02, max(interval, 1.0), until)
        while True:
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in celery_states.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            if (pause := next(pauses, None)) is None:
                raise TimeoutError("The operation timed out.")
            time.sleep(pause)

    # --- canvas ---

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Called before the header of a chord is sent; see `canvas`."""
        if not canvas.open_chord(header_result_args, body):
            super().apply_chord(header_result_args, body, **kwargs)


_CELERY_STATES = {
    State.BLOCKED: celery_states.PENDING,
    State.SCHEDULED: celery_states.PENDING,
    State.PENDING: celery_states.PENDING,
    State.RUNNING: celery_states.STARTED,
    State.SUCCEEDED: celery_states.SUCCESS,
    State.FAILED: celery_states.FAILURE,
    State.UPSTREAM_FAILED: celery_states.FAILURE,
    State.CANCELLED: celery_states.REVOKED,
}


def celery_state(state: State, attempt: int) -> str:
    """The ``AsyncResult.state`` of a job."""
    found: str = _CELERY_STATES[state]
    return str(celery_states.RETRY) if found == celery_states.PENDING and attempt > 0 else found


def _meta(row: JobRow) -> dict[str, Any]:
    status = celery_state(row.state, row.attempt)
    result: Any = None
    text = None
    if row.state is State.SUCCEEDED:
        result = restore(row.workflow, row.result)
    elif row.state.is_terminal:
        result = Job(row.id, row.task_id, row.workflow).failure(row)
        text = getattr(result, "traceback", None)
    return {
        "task_id": str(row.task_id),
        "status": status,
        "result": result,
        "traceback": text,
        "children": [],
        "date_done": row.finished_at,
        "name": row.workflow,
        "worker": row.worker,
        "queue": row.queue,
        "retries": max(0, row.attempt - 1),
    }
