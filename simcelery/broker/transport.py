"""The connection on which a worker consumes: kombu's for Redis, but it trusts no message and survives errors.

kombu passes what it takes from Redis to Celery unchanged, and a single item that is not a valid message
ends the worker; so does an error reply from Redis. Here each item is parsed strictly and replaced by a
clean one (`incoming`), and after an error the worker waits and tries again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any, ClassVar

from celery import Celery
from kombu.connection import Connection
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str

from simcelery.broker import asking, incoming, lists, relayed, sentinels
from simcelery.broker.answers import ANSWERS, in_words
from simcelery.broker.incoming import Plain, Unusable
from simcelery.broker.parking import parked
from simcelery.broker.sparing import Sparing
from simcelery.pauses import growing
from simcelery.settings import get_settings

log = logging.getLogger(__name__)
sparing = Sparing(log)

# Seconds until a question for messages is asked again. It costs Redis as much as it names lists.
LONGEST_WAIT = 5
_pauses = partial(growing, 0.5, 10.0, factor=2)  # until Redis is asked again
_WHILE_PARKED = 0.1  # seconds until a parked lane is asked for again, once it may be
_SPOILT_FOR = 10.0  # seconds that a key which holds no list is left out
_DEAF_FOR = 30.0  # seconds until remote control is tried again where Redis does not allow it


class Channel(relayed.Channel):
    """Takes messages from lists, and remote commands from a publication; nothing else is ever popped.

    Attributes:
        taken: how many messages this process has taken from lists, with those that it dropped.
    """

    taken: ClassVar[int] = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = get_settings()
        # A message of a plain task carries its arguments; in JSON and base64 they grow.
        self._plain = Plain(frozenset(settings.plain_tasks), 3 * settings.max_payload)
        self._name = uuid.uuid4().hex
        self._bell = ""
        self._pauses = _pauses()
        self._not_before = self._not_listening_before = 0.0
        self._said: str | None = None
        self._written: dict[str, list[bytes]] = {}
        self._spoilt: Collection[bytes] = ()
        self._spoilt_until = 0.0
        super().__init__(*args, **kwargs)

    # --- what kombu keeps in Redis, and is not needed: a queue is a key, a publication has no members ---

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        if self.typeof(exchange).type == "fanout":
            self._fanout_queues[queue] = (exchange, routing_key)

    def maybe_refresh_binding_expiry(self) -> None:
        """Do nothing, since there are no bindings."""

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.auto_delete_queues.discard(queue)

    def _size(self, queue: str) -> int:
        return 0

    # --- messages ---

    def close(self) -> None:
        """Take nothing more. kombu reads the answer that is under way, so that no message is lost."""
        if self._in_poll:
            self._ring()
        super().close()

    def _ring(self) -> None:
        """Have Redis answer at once: with what is pushed to a list that only this channel asks for."""
        with (
            suppress(*ANSWERS, *self.connection_errors),
            self.conn_or_acquire() as client,
            client.pipeline(transaction=False) as pipe,
        ):
            pipe.lpush(self._bell, "").expire(self._bell, 2 * LONGEST_WAIT).execute()

    def _brpop_start(self, timeout: float | None = None) -> None:
        now = time.monotonic()
        if now < self._not_before:
            return
        if now >= self._spoilt_until:
            self._spoilt = ()
        queues = parked.left(self._queue_cycle.consume(len(self.active_queues)))
        each = [self._written_keys(queue) for queue in queues]
        keys = [one for of_rank in zip(*each, strict=True) for one in of_rank if one not in self._spoilt]
        if keys:
            # Beside a lane: who may take its messages may take this.
            self._bell = f"{queues[0]}{self.sep}{self._name}"
            keys.append(asking.written(self.global_keyprefix + self._bell))
            self._in_poll = self.client.connection
            self._brpop_sent_at = now
            longest = _WHILE_PARKED if parked.any else self.brpop_timeout
            command = asking.brpop(keys, timeout or longest or 0)
            try:
                self.client.connection.send_packed_command([command])
            except ANSWERS as error:  # to what comes before it: a connection that has rested is tried first
                self._in_poll = None
                self._wait_out(error)

    def _written_keys(self, queue: str) -> list[bytes]:
        """The encoded keys of a queue, the most urgent first."""
        if queue not in self._written:
            self._written[queue] = [
                asking.written(self.global_keyprefix + self._q_for_pri(queue, rank))
                for rank in self.priority_steps
            ]
        return self._written[queue]

    def _brpop_read(self, **options: Any) -> bool:
        try:
            popped = self._popped(options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not popped:
            raise Empty
        key, raw = popped
        queue, _, rank = bytes_to_str(key).partition(self.sep)
        if rank == self._name:
            raise Empty
        Channel.taken += 1
        self._queue_cycle.rotate(queue)
        try:
            message = incoming.task(raw, queue, int(rank or 0), self._plain)
        except Unusable as error:
            sparing.warning(error.reason, f"a message in queue {queue} is dropped: {error}")
        else:
            self._give(message, queue)
        return True

    def _popped(self, options: dict[str, Any]) -> tuple[bytes, bytes] | None:
        try:
            popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
        except ANSWERS as error:
            self._wait_out(error)
            return None
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        if self._said is not None:
            log.warning("Redis works again")
            self._said, self._pauses = None, _pauses()
        return popped  # type: ignore[no-any-return]

    def _wait_out(self, error: Exception) -> None:
        """Try again later, on a new connection, which after a failover may lead to another server."""
        self.client.connection.disconnect()
        self._not_before = time.monotonic() + next(self._pauses)
        if lists.concerns_a_key(error) and (spoilt := self._unusable_keys()):
            self._spoilt = {asking.written(self.global_keyprefix + key) for key in spoilt}
            self._spoilt_until = time.monotonic() + _SPOILT_FOR
            self._not_before = 0.0
            return
        text = in_words(error)
        if text != self._said:  # not at every try
            log.warning("Redis answers with an error, so the worker is waiting: %s", text)
        self._said = text

    def _unusable_keys(self) -> list[str]:
        """Those of the consumed keys that make the command fail for all."""
        keys = [self._q_for_pri(queue, rank) for queue in self.active_queues for rank in self.priority_steps]
        try:
            with self.conn_or_acquire() as client:
                return lists.unusable(client, keys)
        except (*ANSWERS, *self.connection_errors):
            return []

    def _give(self, message: dict[str, Any], queue: str) -> None:
        try:
            self.connection._deliver(message, queue)
        except ANSWERS as error:
            # Nobody consumes the queue any more, and the message could not be put back.
            sparing.warning(
                "lost",
                f"a message could not be put back and is left to recovery; Redis answers: {in_words(error)}",
            )

    # --- remote commands ---

    def _subscribe(self) -> None:
        if time.monotonic() < self._not_listening_before:
            return
        try:
            super()._subscribe()
        except ANSWERS as error:
            self._hear_nothing(error)

    def _receive_one(self, client: Any) -> bool | None:
        try:
            response = client.parse_response()
        except ANSWERS as error:
            self._hear_nothing(error)
            return None
        except self.connection_errors:
            self._in_listen = None
            raise
        if not isinstance(response, list | tuple):
            return None
        payload = self._handle_message(client, response)
        if not bytes_to_str(payload["type"]).endswith("message") or not isinstance(payload["data"], bytes):
            return None
        try:
            message = incoming.command(payload["data"])
        except Unusable as error:
            sparing.warning(error.reason, f"a remote command is dropped: {error}")
            return None
        for queue in list(self.active_fanout_queues):
            self.connection._deliver(message, queue)
        return True

    def _hear_nothing(self, error: Exception) -> None:
        self._in_listen = None
        self._not_listening_before = time.monotonic() + _DEAF_FOR
        sparing.warning("deaf", f"remote commands do not reach this worker: Redis answers {in_words(error)}")


class Transport(relayed.Transport):
    """kombu's transport, with this `Channel`."""

    Channel = Channel
    brpop_timeout = LONGEST_WAIT


class SentinelChannel(Channel, sentinels.Channel):
    """The same, to the master that sentinels name."""

    connection_class = sentinels.Managed
    connection_class_ssl = sentinels.ManagedTLS


class SentinelTransport(sentinels.Transport):
    """kombu's transport for sentinels, with this `SentinelChannel`."""

    Channel = SentinelChannel
    brpop_timeout = LONGEST_WAIT


class WorkerConnection(Connection):
    """A connection to any kind of Redis URL: through TCP, TLS, a socket, or to what sentinels name."""

    def get_transport_cls(self) -> type[Transport | SentinelTransport]:
        """Always our transport, whatever the URL says."""
        found = super().get_transport_cls()
        return SentinelTransport if issubclass(found, redis.SentinelTransport) else Transport


def worker_connection(app: Celery, heartbeat: float | None = None) -> WorkerConnection:
    """The connection on which a worker of this app consumes; it connects at first use."""
    return WorkerConnection(**app.connection_for_read(heartbeat=heartbeat).info())
