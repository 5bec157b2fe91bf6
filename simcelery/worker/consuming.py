"""What a worker takes messages of: for each of its queues, the lanes of the workflows that it knows."""

from __future__ import annotations

from typing import Any

from simcelery.broker.lanes import lane
from simcelery.worker.task import WorkflowTask
from simcelery.workflows import registry


def consume_lanes(app: Any) -> list[str]:
    """Turn the queues that the worker was told to consume into lanes; the queues."""
    queues = list(app.amqp.queues.consume_from)
    lanes = [lane(queue, known.name) for queue in queues for known in registry.definitions()]
    # Celery's own tasks know no lanes.
    app.amqp.queues.select(lanes + (queues if _has_plain_tasks(app) else []))
    return queues


def _has_plain_tasks(app: Any) -> bool:
    return any(
        not isinstance(task, WorkflowTask) and not name.startswith("celery.")
        for name, task in app.tasks.items()
    )
