"""Messages in Celery's own format, by the thousand.

What Celery and kombu do for each message takes longer than sending it, and the messages of a workflow differ
in a few words only. So Celery writes one, into a transport in memory, and the others are copies of it.
"""

from __future__ import annotations

import os
import uuid
from functools import lru_cache
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.utils.json import dumps

from simcelery.board.sendable import Sendable

_TASK_ID = "00000000-0000-4000-8000-000000000000"
_PARAMETERS = "@parameters@"
_REPR_LENGTH = 200


def written(celery: Celery, job: Sendable, redis_priority: int) -> str:
    """A job's message as it lies in Redis: its task id, and a few words for the monitor.

    Time limits are the worker's matter.
    """
    text, tag = _template(celery, job.workflow, job.queue, redis_priority, os.getpid())
    # The parameters last: they may contain anything.
    return (
        text.replace(_TASK_ID, str(job.task_id))
        .replace(tag, str(uuid.uuid4()))
        .replace(f'"{_PARAMETERS}"', dumps(representation(job.parameters)))
    )


@lru_cache(maxsize=500)
def _template(celery: Celery, workflow: str, queue: str, redis_priority: int, pid: int) -> tuple[str, str]:
    """One message, and the delivery tag in it. It also names the process, so it does not outlive a fork."""
    with Connection("memory://") as connection, connection.channel() as channel:
        celery.amqp.send_task_message(
            Producer(channel),
            workflow,
            celery.amqp.create_task_message(_TASK_ID, workflow, argsrepr="()", kwargsrepr=_PARAMETERS),
            queue=queue,
            priority=redis_priority,
            retry=False,
        )
        message = channel._get(queue)
        channel.queue_delete(queue)
    return dumps(message), message["properties"]["delivery_tag"]


def representation(parameters: dict[str, Any]) -> str:
    """Parameters in a few words."""
    parts = []
    for name, value in parameters.items():
        text = repr(value) if not isinstance(value, dict | list) else "…"
        parts.append(f"{name}={text if len(text) <= 40 else text[:39] + '…'}")
    text = ", ".join(parts)
    return text if len(text) <= _REPR_LENGTH else text[: _REPR_LENGTH - 1] + "…"
