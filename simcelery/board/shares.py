"""Queues that are shared: of equally urgent jobs those of whoever has the fewest running come first.

Strict order, by priority and age, is what every other queue has. The claim decides (`choose_job` and
`fair_job`, in the schema): a message leads to the job whose turn it is. That takes an index of who waits,
which costs every job of the board a little, so it is there only while some queue is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Share
from simcelery.errors import UsageError
from simcelery.readable import short

By = Literal["submitter", "tag"]
BY = ("submitter", "tag")
_LOCK = 7233006  # held while the indexes are made or dropped
# As in fair_job. A submitter is a user, wherever they submit; a tag is a job's first one.
_WHO = {"submitter": "split_part(submitted_by, '@', 1)", "tag": "coalesce(tags[1], '')"}


def checked(queue: str, by: object) -> tuple[str, By]:
    """A share that somebody gave.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(queue, str) or not queue or not queue.isprintable():
        raise UsageError(f"{short(queue)} is no name of a queue")
    if by == "submitter" or by == "tag":
        return queue, by
    raise UsageError(f"queue {short(queue)}: {short(by)} is not submitter or tag")


def declare(connection: Connection, given: Mapping[str, By], who: str) -> dict[str, str]:
    """Share those of these queues that are not shared; it returns what was shared before."""
    before = listed(connection)
    for queue, by in given.items():
        if queue not in before:
            share(connection, queue, by, who)
    return before


def share(connection: Connection, queue: str, by: By, who: str) -> None:
    """Share a queue between submitters, or tags. The index may take seconds; claims wait meanwhile."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    connection.exec_driver_sql(
        f"SET LOCAL client_min_messages = warning; CREATE INDEX IF NOT EXISTS jobs_shared_by_{by} "
        f"ON jobs (queue, workflow, priority DESC, ({_WHO[by]}), id) WHERE state = 'pending'"
    )
    row = insert(Share).values(queue=queue, by=by, set_by=who)
    same = {"by": by, "set_by": who, "set_at": func.now()}
    connection.execute(row.on_conflict_do_update(index_elements=[Share.queue], set_=same))
    _drop_unused(connection)


def stop(connection: Connection, queue: str) -> bool:
    """Go back to strict order; whether the queue was shared."""
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    gone = connection.scalar(delete(Share).where(Share.queue == queue).returning(Share.queue))
    _drop_unused(connection)
    return gone is not None


def _drop_unused(connection: Connection) -> None:
    used = set(connection.scalars(select(Share.by)))
    for by in BY:
        if by not in used:
            connection.exec_driver_sql(
                f"SET LOCAL client_min_messages = warning; DROP INDEX IF EXISTS jobs_shared_by_{by}"
            )


def listed(connection: Connection) -> dict[str, str]:
    """The queues that are shared, each with what it is shared by."""
    rows = connection.execute(select(Share.queue, Share.by).order_by(Share.queue))
    return {row.queue: row.by for row in rows}
