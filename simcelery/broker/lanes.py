"""The names of lanes: where in Redis the messages of one queue, workflow and priority wait.

A worker consumes only the lanes of its queues and of the workflows that it knows, so it never takes the
message of a job that it cannot run: several projects may share servers and a queue.
"""

from __future__ import annotations

MOST_URGENT = 9


def lane(queue: str, workflow: str) -> str:
    """The name by which Celery and Redis know a lane; no other queue and workflow have the same."""
    return f"{queue.replace('%', '%25').replace(':', '%3A')}:{workflow}"


def queue_and_workflow(name: str) -> tuple[str, str]:
    """What a lane's name is made of."""
    queue, _, workflow = name.partition(":")
    return queue.replace("%3A", ":").replace("%25", "%"), workflow


def redis_priority(priority: int) -> int:
    """The priority in Redis, where 0 is the most urgent, of a job's, where 9 is."""
    return MOST_URGENT - priority


def priority_of(redis_priority: int) -> int:
    """And back."""
    return MOST_URGENT - redis_priority
