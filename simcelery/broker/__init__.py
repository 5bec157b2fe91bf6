"""3 THE BROKER: wake-up calls through Redis, in Celery's own format, never more than a window of them.

Owns the Celery app's broker configuration, the names of lanes, the publish window and sending. A message
holds a job's task id and its workflow's name, never its parameters. Submission, the worker and recovery
call it; it reads and marks the board itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from simcelery import urls
from simcelery.board import submitting
from simcelery.board.values import JobToPublish, Lane, NewJob
from simcelery.broker import clusters, encryption, lists, messages, room, sentinels, stale
from simcelery.broker.answers import ANSWERS, in_words
from simcelery.broker.lanes import MOST_URGENT, lane, redis_priority
from simcelery.errors import BrokerRefusesError, BrokerUnreachableError, BrokerUntrustedError, SimceleryError
from simcelery.failpoints import failpoint
from simcelery.relay import tunnel
from simcelery.settings import get_settings

log = logging.getLogger(__name__)

NEWS = "simcelery_news"  # the remote command by which a worker is told to ask the board
_AT_ONCE = 5000  # messages in one round trip
# Seconds after which Redis drops a lane to which nothing was added: nobody may know its workflow any more.
# What is still pending then is sent again from the board.
_FORGOTTEN_AFTER = 86_400


@lru_cache(maxsize=1)
def app() -> Celery:
    """The Celery app of this process. `simcelery.celery` adds the tasks and the worker's parts to it."""
    made = Celery("simcelery")
    made.amqp_cls = "simcelery.broker.encryption:VerifiedAMQP"
    made.set_default()  # for the threads that did not make it; Celery's "current app" is this thread's alone
    made.add_defaults(_configured)  # evaluated at the first use, when the settings are final
    return made


def _configured() -> dict[str, Any]:
    try:
        return configuration()
    except SimceleryError:
        app.cache_clear()  # Celery does not ask again, and would go on without a configuration
        raise


def configuration() -> dict[str, Any]:
    """The Celery configuration that simcelery needs. Each value has its reason.

    Raises:
        SettingsError: a setting is malformed.
        ServicesNotRunningError: no broker URL is set and the embedded servers are not running.
    """
    settings = get_settings()
    url = settings.redis_url()
    watched = urls.sentinels(url) if urls.is_sentinel(url) else None
    return {
        "broker_url": watched.for_kombu() if watched else url,
        # The outcome of every job goes to the board.
        "result_backend": "simcelery.worker.backend:BoardBackend",
        "broker_transport_options": {
            # Redis keeps no record of unacknowledged messages: the board decides who runs what, so there is
            # no visibility timeout that could run a long job twice.
            "ack_emulation": False,
            "priority_steps": list(range(MOST_URGENT + 1)),
            # Without these a publish on a silent network waits for ever.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # How long Redis may be silent beyond its answer to a question for messages.
            "health_check_interval": 6,
            **(sentinels.options(watched) if watched else {}),
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # an error that Redis answers with passes as well
        "worker_enable_remote_control": settings.remote_control,
        "task_acks_late": False,
        "worker_consumer": "simcelery.worker.parent.consumer:BoardConsumer",
        "worker_disable_prefetch": True,  # a busy worker never hoards, and priorities hold
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # a blip never kills a simulation
        "worker_proc_alive_timeout": 60,
        "task_default_queue": settings.default_queue,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_expires": None,  # the board's retention decides
        "database_create_tables_at_setup": False,  # our migration made them
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": True,
        "enable_utc": True,
        "timezone": "UTC",
        "task_publish_retry": False,  # the board keeps what could not be sent
    }


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (KombuError, OperationalError, redis.RedisError, OSError) as error:
        place = f"the broker at {urls.broker_place(get_settings().redis_url())}"
        if distrust := encryption.distrust(error):
            raise BrokerUntrustedError(f"{place} cannot be trusted: {distrust}") from error
        cause = error.__cause__ or error
        if isinstance(cause, ANSWERS):
            raise BrokerRefusesError(f"{place} answers with an error: {in_words(cause)}") from error
        if trouble := tunnel.trouble():
            raise BrokerUnreachableError(f"{place} cannot be reached through {trouble}") from error
        raise BrokerUnreachableError(f"{place} cannot be reached: {str(cause).splitlines()[0]}") from error


@contextmanager
def _connection() -> Iterator[Any]:
    """A connection that gives up at once instead of retrying: the board is patient, callers are not.

    Not a producer: to prepare one for a message takes as long as to send it, and nothing here needs one.
    """
    with _reachable(), app().pool.acquire(block=True, timeout=30) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=6)
        yield connection


def _client(channel: Any) -> Any:
    """A client for this channel, made once: to make one takes longer than to send a message."""
    made = getattr(channel, "client_of_lanes", None)
    if made is None or made.connection_pool is not channel.pool:  # it has a new one after an error
        channel.async_pool.disconnect(inuse_connections=False)  # left by a ping: only consumers use it
        made = channel._create_client()
        clusters.refuse(made)
        channel.client_of_lanes = made
    return made


def _key(channel: Any, of: Lane) -> str:
    """The list in Redis that holds the messages of a lane."""
    return str(channel._q_for_pri(lane(of.queue, of.workflow), redis_priority(of.priority)))


def lengths(lanes: Sequence[Lane]) -> list[int | None]:
    """How many messages wait in Redis in each lane; None: its list cannot be used.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
    """
    with _connection() as connection:
        channel = connection.default_channel
        with _client(channel).pipeline(transaction=False) as pipe:
            keys = [_key(channel, one) for one in lanes]
            for key in keys:
                pipe.llen(key)
            return lists.usable(keys, pipe.execute(raise_on_error=False))


def anything_in(lanes: Sequence[Lane]) -> bool:
    """Whether messages wait in any of these lanes. A worker has thousands: one question for all of them.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
    """
    with _connection() as connection:
        channel = connection.default_channel
        keys = [_key(channel, one) for one in lanes]
        with suppress(*ANSWERS):  # one may be out of bounds
            if not _client(channel).exists(*keys):  # an empty list does not exist
                return False
    return any(lengths(lanes))


def send(jobs: Iterable[JobToPublish], *, first: bool = False) -> list[JobToPublish]:
    """Send a message for each job, pipelined. Delivery is uncertain when this raises: send again later.

    Parameters:
        first: before those that are in their lanes already.

    Returns:
        Those that were sent: all but those of lanes whose lists cannot be used.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
        BrokerRefusesError: it is a node of a cluster.
    """
    celery = app()
    left = iter(jobs)
    sent: list[JobToPublish] = []
    with _connection() as connection:
        channel = connection.default_channel
        while some := list(islice(left, _AT_ONCE)):
            by_lane = _by_lane(some)
            with _client(channel).pipeline(transaction=False) as pipe:
                keys = [_key(channel, one) for one in by_lane]
                for key, theirs in zip(keys, by_lane.values(), strict=True):
                    push = pipe.rpush if first else pipe.lpush
                    push(key, *(messages.written(celery, job) for job in theirs))
                    pipe.expire(key, _FORGOTTEN_AFTER)
                each = [key for key in keys for _ in ("lpush", "expire")]
                pushed = lists.usable(each, pipe.execute(raise_on_error=False))[::2]
            for (one, theirs), length in zip(by_lane.items(), pushed, strict=True):
                if length is not None:
                    room.note(one, length)
                    sent += theirs
    return sent


def _by_lane(jobs: Iterable[JobToPublish]) -> dict[Lane, list[JobToPublish]]:
    """By lane, the most urgent first, otherwise in the order given."""
    lanes: dict[Lane, list[JobToPublish]] = {}
    for job in jobs:
        lanes.setdefault(job.lane, []).append(job)
    return dict(sorted(lanes.items(), key=lambda one: -one[0].priority))


def publish(jobs: Iterable[JobToPublish]) -> int:
    """Send as many of these pending jobs as the window has room for, and mark them on the board.

    The rest stay on the board, unpublished, until recovery sends them.

    Returns:
        How many were sent.

    Raises:
        BrokerUnreachableError: Redis cannot be reached; the jobs are recorded all the same.
        BoardUnreachableError: messages were sent but could not be marked; they may be sent twice, which is
            harmless.
    """
    by_lane = _by_lane(jobs)
    if not by_lane:
        return 0
    window = get_settings().publish_window
    chosen: list[JobToPublish] = []
    for one, length in zip(by_lane, lengths(list(by_lane)), strict=True):
        if length is not None:
            chosen += sorted(by_lane[one], key=lambda job: job.id)[: max(0, window - length)]
    return send_and_mark(chosen)


def publish_or_leave(jobs: Iterable[JobToPublish], what: str) -> None:
    """Publish jobs after the commit that made them pending. Any error becomes a warning.

    The jobs are on the board, and republish sends what was not sent, so an error here must not fail
    anything or end a thread.

    Parameters:
        jobs: read inside this function, so that a caller who asks the board for them need not handle errors.
        what: the jobs, as the warning begins, such as ``job 42 is recorded and``.
    """
    with _or_later(what):
        publish(jobs)


@contextmanager
def _or_later(what: str) -> Iterator[None]:
    try:
        yield
    except SimceleryError as error:
        log.warning("%s will be published later: %s", what, error)
    except Exception:
        log.exception("%s will be published later", what)


def send_and_mark(jobs: Sequence[JobToPublish]) -> int:
    """Send messages, then mark them on the board: a crash in between causes a second, harmless message.

    Returns:
        How many were sent.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
        BoardUnreachableError: the messages could not be marked.
    """
    if not jobs:
        return 0
    failpoint("before_send")
    sent = send(jobs)
    failpoint("after_send")
    if sent:
        submitting.mark_published([job.id for job in sent])
    return len(sent)


def has_room(job: NewJob) -> bool:
    """Whether this job may be recorded as published, and then be passed to `send_or_leave`."""
    return room.is_in(job.lane)


def send_or_leave(job: JobToPublish, what: str) -> None:
    """Send the message of a job that was recorded as published, since there was room for it.

    If that fails, the board is told that it was not; a process that dies before it could tell leaves what
    looks like a lost message, and recovery sends it again.

    Parameters:
        what: as in `publish_or_leave`.
    """
    sent = []
    with _or_later(what):
        failpoint("before_send")
        sent = send([job])
    if sent:
        return
    from simcelery.board import engine, feed  # SQLAlchemy loads when it is first needed

    room.forget(job.lane)
    failpoint("before_unmark")
    with suppress(SimceleryError), engine.begin() as connection:
        feed.forget_message(connection, job.task_id)


def drop_stale(of: Lane) -> None:
    """Drop the messages of a queue and workflow that are at least this urgent, if no such job is pending.

    Raises:
        BrokerUnreachableError, BoardUnreachableError: they may still be there, which only costs time.
    """

    from simcelery.board import engine, feed  # as above

    def needed() -> bool:
        with engine.begin() as connection:
            return feed.anything_pending(connection, of)

    lanes = [of._replace(priority=priority) for priority in range(of.priority, MOST_URGENT + 1)]
    with _connection() as connection:
        channel = connection.default_channel
        stale.drop(_client(channel), [_key(channel, one) for one in lanes], needed)


def tell_workers(nodenames: Iterable[str]) -> None:
    """Make these workers ask the board for news now, rather than when they next renew their leases.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
    """
    from celery.app.control import Control  # who submits tells nobody

    wanted = sorted(set(nodenames))
    if wanted:
        with _connection() as connection:
            # Not `app().control`: that is kept from its first use on, which may come before the composition
            # root has said what it is.
            Control(app()).broadcast(NEWS, destination=wanted, connection=connection)


def ping() -> dict[str, Any]:
    """What ``doctor`` wants to know about Redis.

    Raises:
        BrokerUnreachableError: Redis cannot be reached.
    """
    with _connection() as connection:
        client = connection.default_channel.client
        info = client.info()
        return {
            "version": info.get("valkey_version") or info.get("redis_version"),
            "compatible": info.get("redis_version"),  # Valkey says which Redis it is like
            "policy": info.get("maxmemory_policy"),
            "aof": bool(info.get("aof_enabled")),
            "memory": info.get("used_memory"),
            "cluster": bool(info.get("cluster_enabled")),
            "gap": encryption.gap(connection),
        }
