"""What the broker needs to know: which pending jobs to send, and which it was believed to hold."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, extract, func, select, text, update

from simcelery.board import engine
from simcelery.board.among import among
from simcelery.board.models import Job
from simcelery.board.seconds import seconds
from simcelery.board.sendable import COLUMNS, Sendable
from simcelery.board.sendable import sendable as from_row
from simcelery.board.states import State

# A client sends what it has just recorded; recovery does so only if that did not happen.
CLIENTS_OWN = 2.0
# A popped but not yet claimed message looks like a lost one, so patience doubles with every sending.
RESEND_AFTER = 5.0
RESEND_AFTER_AT_MOST = 600.0
# Where Redis holds no message of the lane at all, few can be in hand, and workers may stand idle.
RESEND_AFTER_IF_EMPTY = 15.0


def lanes(connection: Connection, at_most: int) -> list[tuple[str, int, int, int]]:
    """For each queue and priority with pending jobs: (queue, priority, unpublished, published).

    Most urgent first. Neither number is counted further than `at_most`: a million may wait.
    """
    return [(*row,) for row in connection.execute(_LANES, {"at_most": at_most})]


# Each queue is found by one step into the index from the one before it.
_LANES = text("""
WITH RECURSIVE fresh (queue) AS (
  SELECT min(queue) FROM jobs WHERE state = 'pending' AND published_at IS NULL
  UNION ALL
  SELECT (SELECT min(queue) FROM jobs
          WHERE state = 'pending' AND published_at IS NULL AND queue > fresh.queue)
  FROM fresh WHERE queue IS NOT NULL
),
sent (queue) AS (
  SELECT min(queue) FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(queue) FROM jobs
          WHERE state = 'pending' AND published_at IS NOT NULL AND queue > sent.queue)
  FROM sent WHERE queue IS NOT NULL
)
SELECT lane.queue, lane.priority, unpublished.number, published.number
FROM (
  SELECT queue, priority FROM (SELECT queue FROM fresh UNION SELECT queue FROM sent) AS known
  CROSS JOIN generate_series(0, 9) AS priority WHERE queue IS NOT NULL
) AS lane
CROSS JOIN LATERAL (
  SELECT count(*) AS number FROM (
    SELECT FROM jobs WHERE state = 'pending' AND published_at IS NULL
      AND jobs.queue = lane.queue AND jobs.priority = lane.priority LIMIT :at_most
  ) AS found
) AS unpublished
CROSS JOIN LATERAL (
  SELECT count(*) AS number FROM (
    SELECT FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL
      AND jobs.queue = lane.queue AND jobs.priority = lane.priority LIMIT :at_most
  ) AS found
) AS published
WHERE unpublished.number + published.number > 0
ORDER BY lane.priority DESC, lane.queue
""")


def unpublished(connection: Connection, queue: str, priority: int, limit: int) -> list[Sendable]:
    """The next jobs of a lane that were never sent, oldest first; what a client is about to send left out."""
    left_to_client = Job.submitted_at + seconds(CLIENTS_OWN) > func.now()
    waiting = _lane(queue, priority).where(Job.published_at.is_(None), ~left_to_client)
    return [from_row(row) for row in connection.execute(waiting.order_by(Job.id).limit(limit))]


def overdue(
    connection: Connection, queue: str, priority: int, limit: int, *, at_most: float = RESEND_AFTER_AT_MOST
) -> list[Sendable]:
    """The jobs of a lane that were sent, were not claimed, and may be sent again; longest ago first.

    Parameters:
        at_most: how long at most a job is left alone after it was sent; seconds.
    """
    age = extract("epoch", func.now() - Job.published_at)
    patience = func.least(RESEND_AFTER * func.power(2, Job.publish_count - 1), at_most)
    sent = _lane(queue, priority).where(Job.published_at.is_not(None), age > patience)
    return [from_row(row) for row in connection.execute(sent.order_by(Job.published_at).limit(limit))]


def _lane(queue: str, priority: int) -> Select[Any]:
    """The pending jobs of a queue and priority."""
    return select(*COLUMNS).where(Job.state == State.PENDING, Job.queue == queue, Job.priority == priority)


def sendable(connection: Connection, ids: Iterable[int], limit: int) -> list[Sendable]:
    """Those of the jobs that are pending and were never sent, in the order of their ids, at most `limit`."""
    rows = connection.execute(
        select(*COLUMNS)
        .where(among(Job.id, ids), Job.state == State.PENDING, Job.published_at.is_(None))
        .order_by(Job.id)
        .limit(limit)
    )
    return [from_row(row) for row in rows]


def mark_published(ids: Sequence[int]) -> None:
    """Note that messages for these jobs were sent. One that is being claimed meanwhile needs no note.

    A transaction of its own, in one round trip: every single job needs it. A mark that a crash of Postgres
    loses means a second, harmless message, so it does not wait for the disk.

    Raises:
        BoardUnreachableError: Postgres cannot be reached; the mark is perhaps not made.
    """
    engine.one_round_trip(_MARK, {"ids": list(ids)}, durable=False)


_MARK = """
UPDATE jobs SET published_at = now(), publish_count = publish_count + 1
WHERE state = 'pending' AND id IN (
  SELECT id FROM jobs WHERE id = ANY (%(ids)s) AND state = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED
)
RETURNING id
"""


def forget_message(connection: Connection, task_id: uuid.UUID) -> None:
    """The message of a pending job was taken by somebody who cannot use it: send it again at once."""
    connection.execute(
        update(Job)
        .where(Job.task_id == task_id, Job.state == State.PENDING)
        .values(published_at=None, publish_count=0)
    )
