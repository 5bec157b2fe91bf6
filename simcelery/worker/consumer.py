"""Celery's consumer, with manners towards messages of workflows that this worker does not know."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from typing import Any

from celery.worker.consumer import Consumer

from simcelery.board import engine, leases
from simcelery.worker import chores, claiming, slots

log = logging.getLogger(__name__)

# Seconds that it leaves a queue to those who know more; each time it meets a stranger there, twice as long.
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 600.0


class BoardConsumer(Consumer):  # type: ignore[misc]
    """Leaves a queue to the workers that know what is in it.

    If another live worker of the queue knows the workflow, this one stops consuming the queue for a while,
    says so on its row of the board, and has the message sent again at once. If nobody knows it, it stays and
    works on: the job is offered again, ever less often, until somebody does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pauses: dict[str, float] = {}
        self._left: list[str] = []

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called for a message of a task that is not registered here."""
        message.reject_log_error(log, self.connection_errors)
        name, task_id = message.headers.get("task", "?"), message.headers.get("id", "")
        queue = message.delivery_info.get("routing_key", "")
        log.warning("%s: no workflow of this name is known here; job %s is left to others", name, task_id)
        chores.add(lambda: self._leave_to_others(name, task_id, queue))

    def _leave_to_others(self, name: str, task_id: str, queue: str) -> None:
        me = claiming.worker_id()
        with engine.begin() as connection:
            others = leases.knows(connection, name, queue, except_worker=me)
            where = f"; it leaves queue {queue} to others for a while" if others else ""
            leases.note(connection, me, f"does not know the workflow {name}{where}")
        if others:
            self.call_soon(self._pause, queue)
            with suppress(ValueError):  # no task id of a job's
                claiming.give_back(uuid.UUID(task_id))

    def _pause(self, queue: str) -> None:
        if self.task_consumer is None or not self.task_consumer.consuming_from(queue):
            return
        pause = self._pauses.get(queue, FIRST_PAUSE)
        self._pauses[queue] = min(2 * pause, LONGEST_PAUSE)
        log.warning("queue %s is left to other workers for %g s", queue, pause)
        self.cancel_task_queue(queue)
        self.timer.call_after(pause, self._resume, (queue,))

    def _resume(self, queue: str) -> None:
        if slots.shared is not None and slots.shared.closed:
            return
        if self.task_consumer is not None:
            self.add_task_queue(queue)

    def loop_args(self) -> Any:
        """Called before each start of the event loop: at first, and after each reconnection to Redis."""
        _forget_closed_watches(self.pool)
        return super().loop_args()

    def leave_all_queues(self) -> None:
        """Consume nothing until `return_to_queues`. To be called from any thread."""
        self.call_soon(self._leave_all_queues)

    def _leave_all_queues(self) -> None:
        self._left = list(self.app.amqp.queues.consume_from)
        for queue in self._left:
            self.cancel_task_queue(queue)

    def return_to_queues(self) -> None:
        """Consume again what it consumed before. To be called from any thread."""
        self.call_soon(self._return_to_queues)

    def _return_to_queues(self) -> None:
        for queue in self._left:
            self._resume(queue)

    def reconnect(self) -> None:
        """Connect to Redis anew. To be called from any thread."""
        self.call_soon(_lose_connection)


def _lose_connection() -> None:
    raise ConnectionError("connecting to Redis anew")


def _forget_closed_watches(pool: Any) -> None:
    """Have the event loop watch all pool children again.

    When children die together Celery may take the death of one, whose file descriptor has just been given to
    another's successor, for the successor's, and closes the watch over a live child; at the next reconnection
    it would stumble over that and end the worker with all its jobs.
    """
    for process in getattr(getattr(pool, "_pool", None), "_pool", None) or ():
        if getattr(process, "_sentinel_poll", 0) is None:
            del process._sentinel_poll
