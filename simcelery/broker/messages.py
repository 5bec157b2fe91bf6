"""Messages in Celery's own format, by the thousand.

What Celery and kombu do for each message takes longer than sending it, yet the messages of a lane differ
only in their ids. So Celery writes one, into a transport in memory, and the others are copies of it.
"""

from __future__ import annotations

import os
import uuid
from functools import lru_cache

from celery import Celery
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.utils.json import dumps

from simcelery.board.values import JobToPublish, Lane
from simcelery.broker.lanes import lane, redis_priority

_TASK_ID = "00000000-0000-4000-8000-000000000000"


def written(celery: Celery, job: JobToPublish) -> str:
    """A job's message as Redis holds it: its task id and its workflow. Everything else is on the board."""
    text, tag = _template(celery, job.lane, os.getpid())
    return text.replace(_TASK_ID, str(job.task_id)).replace(tag, str(uuid.uuid4()))


@lru_cache(maxsize=500)
def _template(celery: Celery, of: Lane, pid: int) -> tuple[str, str]:
    """A message, and the delivery tag in it. It also names the process, so it is made again after a fork."""
    name = lane(of.queue, of.workflow)
    with Connection("memory://") as connection, connection.channel() as channel:
        celery.amqp.send_task_message(
            Producer(channel),
            of.workflow,
            celery.amqp.create_task_message(_TASK_ID, of.workflow, argsrepr="()", kwargsrepr="{}"),
            queue=name,
            priority=redis_priority(of.priority),
            retry=False,
        )
        message = channel._get(name)
        channel.queue_delete(name)
    return dumps(message), message["properties"]["delivery_tag"]
