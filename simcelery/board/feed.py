"""What the broker needs to know: which pending jobs to send, and which messages it should already hold."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select, update

from simcelery.board import sql
from simcelery.board.clock import is_ahead
from simcelery.board.models import Job
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.states import State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.values import JobToPublish, Lane

# A client sends what it has just recorded; recovery does so only if that did not happen.
CLIENTS_OWN = 2.0
# A popped but not yet claimed message looks like a lost one, so the wait doubles with every sending.
RESEND_AFTER = 5.0
RESEND_AFTER_AT_MOST = 600.0
# Where Redis holds no message of the lane at all, few can be in hand, and workers may stand idle.
RESEND_AFTER_IF_EMPTY = 15.0


def lanes(connection: Connection, at_most: int) -> list[tuple[Lane, int, int]]:
    """The lanes with pending jobs: (lane, unpublished, published), most urgent first.

    Neither number is counted beyond `at_most`, since a million may be waiting.
    """
    rows = sql.execute(connection, "lanes", at_most=at_most)
    return [(Lane(row.queue, row.workflow, row.priority), row.unpublished, row.published) for row in rows]


def unpublished(connection: Connection, lane: Lane, limit: int) -> list[JobToPublish]:
    """The next jobs of a lane that were never sent, oldest first; not those a client is about to send."""
    fresh = Job.submitted_at + seconds(CLIENTS_OWN) > func.now()
    left_to_client = and_(fresh, ~is_ahead(Job.submitted_at))
    waiting = _pending(lane).where(Job.published_at.is_(None), ~left_to_client)
    return [job_to_publish(row._mapping) for row in connection.execute(waiting.order_by(Job.id).limit(limit))]


def overdue(
    connection: Connection, lane: Lane, limit: int, *, at_most: float = RESEND_AFTER_AT_MOST
) -> list[JobToPublish]:
    """The jobs of a lane that were sent, were not claimed, and may be sent again; longest ago first.

    Parameters:
        at_most: the longest time, in seconds, before a message is sent again.
    """
    doubled = func.power(2, func.least(Job.publish_count, 30) - 1)  # from 1,025 on it would overflow
    wait = func.least(RESEND_AFTER * doubled, at_most)
    sent = _pending(lane).where(Job.published_at < func.now() - seconds(wait))
    return [
        job_to_publish(row._mapping)
        for row in connection.execute(sent.order_by(Job.published_at).limit(limit))
    ]


def _pending(lane: Lane) -> Select[*tuple[Any, ...]]:
    """The pending jobs of a lane."""
    return select(*TO_PUBLISH).where(
        Job.state == State.PENDING,
        Job.queue == lane.queue,
        Job.workflow == lane.workflow,
        Job.priority == lane.priority,
    )


def anything_pending(connection: Connection, lane: Lane) -> bool:
    """Whether jobs wait in this lane, or in more urgent ones of its queue and workflow."""
    waiting = [
        exists().where(
            Job.state == State.PENDING,
            Job.queue == lane.queue,
            Job.workflow == lane.workflow,
            Job.priority >= lane.priority,
            published,
        )
        for published in (Job.published_at.is_(None), Job.published_at.is_not(None))  # an index for each
    ]
    return bool(connection.scalar(select(or_(*waiting))))


def unsent(connection: Connection, ids: Iterable[int], limit: int) -> list[JobToPublish]:
    """Those of the jobs that are pending and were never sent, in the order of their ids, at most `limit`."""
    rows = connection.execute(
        select(*TO_PUBLISH)
        .where(among(Job.id, ids), Job.state == State.PENDING, Job.published_at.is_(None))
        .order_by(Job.id)
        .limit(limit)
    )
    return [job_to_publish(row._mapping) for row in rows]


def forget_message(connection: Connection, task_id: uuid.UUID) -> None:
    """A worker that cannot use the message of a pending job has taken it: send it again at once."""
    connection.execute(
        update(Job)
        .where(Job.task_id == task_id, Job.state == State.PENDING)
        .values(published_at=None, publish_count=0)
    )
