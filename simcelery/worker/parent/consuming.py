"""What a worker consumes: for each of its queues, the lanes of the workflows that it knows."""

from __future__ import annotations

from typing import Any

from simcelery.broker.lanes import lane
from simcelery.settings import get_settings
from simcelery.workflows import registry


def consume_lanes(app: Any) -> list[str]:
    """Replace the queues that the worker was told to consume by their lanes; return the queues."""
    queues = list(app.amqp.queues.consume_from)
    lanes = [lane(queue, known.name) for queue in queues for known in registry.definitions()]
    # Plain Celery tasks know no lanes.
    app.amqp.queues.select(lanes + (queues if get_settings().plain_tasks else []))
    return queues
