"""Celery's consumer, which can also be told to take no messages for a while, or to reconnect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery.worker.consumer import Consumer

from simcelery.broker.transport import worker_connection

_REMOTE = "simcelery.worker.parent.remote:RemoteControlStep"


class BoardConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, made robust against messages, and controllable by the rest of the worker."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps, with our remote control."""

        default_steps = tuple(
            _REMOTE if step == "celery.worker.consumer.control:Control" else step
            for step in Consumer.Blueprint.default_steps
        )

    _left: Sequence[str] = ()

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """The connection on which it consumes."""
        return self.ensure_connected(worker_connection(self.app, heartbeat))

    def connection_for_write(self, *args: Any, **options: Any) -> Any:
        """The connection on which it sends events."""
        connected = super().connection_for_write(*args, **options)
        # Left by a ping: only consumers use it.
        connected.default_channel.async_pool.disconnect(inuse_connections=False)
        return connected

    def loop_args(self) -> Any:
        """Called before each start of the event loop: at first, and after each reconnection to Redis."""
        _forget_closed_watches(self.pool)
        return super().loop_args()

    def leave_all_queues(self) -> None:
        """Consume nothing until `return_to_queues`. May be called from any thread."""
        self.call_soon(self._leave_all_queues)

    def _leave_all_queues(self) -> None:
        queues = self.app.amqp.queues
        self._left = list(queues.consume_from) or self._left
        queues.deselect(self._left)  # for a consumer that is made meanwhile, at a reconnection
        if self.task_consumer is not None:
            for name in self._left:
                self.task_consumer.cancel_by_queue(name)

    def return_to_queues(self) -> None:
        """Consume again what was consumed before. May be called from any thread."""
        self.call_soon(self._return_to_queues)

    def _return_to_queues(self) -> None:
        queues = self.app.amqp.queues
        queues.select(self._left)
        if self.task_consumer is not None:
            for name in self._left:
                self.task_consumer.add_queue(queues[name])
            self.task_consumer.consume()

    def reconnect(self) -> None:
        """Reconnect to Redis. May be called from any thread."""
        self.call_soon(_lose_connection)


def _lose_connection() -> None:
    raise ConnectionError("reconnecting to Redis")


def _forget_closed_watches(pool: Any) -> None:
    """Make the event loop watch all pool children again.

    When children die together, Celery may take the death of one, whose file descriptor has just been given
    to another's successor, for the successor's, and closes the watch over a live child; at the next
    reconnection it would fail on that, and the worker would end with all its jobs.
    """
    for process in getattr(getattr(pool, "_pool", None), "_pool", None) or ():
        if getattr(process, "_sentinel_poll", 0) is None:
            del process._sentinel_poll
