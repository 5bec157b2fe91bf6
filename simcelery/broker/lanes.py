"""The names of lanes: where in Redis the messages of one queue, workflow and priority wait.

A worker consumes only the lanes of its queues and of the workflows that it knows, so it never takes the
message of a job that it cannot run: several projects may share servers and a queue.
"""

from __future__ import annotations

MOST_URGENT = 9


def lane(queue: str, workflow: str) -> str:
    """The name by which Celery and Redis know a lane, unique to its queue and workflow."""
    return f"{queue.replace('%', '%25').replace(':', '%3A')}:{workflow}"


def queue_and_workflow(name: str) -> tuple[str, str]:
    """The queue and workflow that a lane's name consists of."""
    queue, _, workflow = name.partition(":")
    return queue.replace("%3A", ":").replace("%25", "%"), workflow


def redis_priority(priority: int) -> int:
    """The priority in Redis, where 0 is the most urgent, for a job's priority, where 9 is."""
    return MOST_URGENT - priority


def priority_of(redis_priority: int) -> int:
    """A job's priority for a priority in Redis."""
    return MOST_URGENT - redis_priority
