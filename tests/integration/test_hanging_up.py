"""A worker that ends while it asks Redis for messages: it does not wait for one, and loses none."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
import redis
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

import simcelery
from simcelery import broker
from simcelery.broker.transport import LONGEST_WAIT, worker_connection
from simcelery.services import Services
from tests.board_helpers import lane
from tests.waiting import wait_until

ROUNDS = 50


@simcelery.workflow(name="hanging")
def hanging(n: int = 0) -> int:
    return n


@pytest.fixture
def messages(board: Services) -> redis.Redis:
    """The Redis that holds the messages, and an empty board."""
    return redis.Redis.from_url(board.broker_url)


@pytest.fixture
def message(messages: redis.Redis) -> bytes:
    """One that is valid."""
    hanging.submit()
    taken = messages.rpop(lane("hanging"))
    assert isinstance(taken, bytes)
    return taken


def asking(taken: list[Any]) -> Connection:
    """A worker's connection on which the question for messages has been sent."""
    connection = worker_connection(broker.app())
    queue = Queue("default:hanging", durable=False)
    consumer = Consumer(connection, [queue], on_message=taken.append, no_ack=True, auto_declare=False)
    consumer.consume()
    channel = connection.default_channel

    def asks() -> bool:
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.01)
        return bool(channel._in_poll)

    wait_until(asks)
    return connection


def test_it_does_not_wait_for_a_message(board: Services) -> None:
    taken: list[Any] = []
    connection = asking(taken)
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < LONGEST_WAIT / 2
    assert taken == []


def test_what_redis_has_answered_just_then_is_not_lost(messages: redis.Redis, message: bytes) -> None:
    came = 0
    for _ in range(ROUNDS):
        taken: list[Any] = []
        connection = asking(taken)
        sender = threading.Timer(random.uniform(0, 0.01), messages.lpush, [lane("hanging"), message])
        sender.start()
        connection.close()
        sender.join()
        assert len(taken) + messages.llen(lane("hanging")) == 1
        came += len(taken)
        messages.delete(lane("hanging"))
    assert 0 < came < ROUNDS  # both were seen
