"""Publish jobs that are recorded. Trouble is a warning: workers find on the board what was not sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from simcelery import broker
from simcelery.board.states import State
from simcelery.board.values import JobToPublish, Lane, NewJob, Recorded
from simcelery.broker.lanes import MOST_URGENT
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.submission import lineage, sources


def publish_recorded(new: Sequence[NewJob], recorded: Sequence[Recorded]) -> None:
    """Publish what was recorded just now, as far as the window goes. Trouble is a warning."""
    failpoint("after_record")
    window = get_settings().publish_window
    pending: list[JobToPublish] = []
    lanes: Counter[Lane] = Counter()
    for job, done in zip(new, recorded, strict=True):
        if done.published:
            broker.send_or_leave(_to_publish(job, done), _are_recorded([done.id]))
            continue
        lane = job.lane
        # No lane takes more than a window.
        if done.how == "new" and done.state is State.PENDING and lanes[lane] < window:
            lanes[lane] += 1
            pending.append(_to_publish(job, done))
    if pending:
        broker.publish_or_leave(pending, _are_recorded([job.id for job in pending]))
    publish([job.id for job in recorded if job.how == "retried"])
    sources.note((job.workflow for job in new), lineage.submitter())


def _to_publish(job: NewJob, done: Recorded) -> JobToPublish:
    return JobToPublish(done.id, done.task_id, job.workflow, job.queue, job.priority)


def publish(ids: Sequence[int]) -> None:
    """Publish those of the jobs that are pending and were never sent, as far as the window goes."""
    if ids:
        broker.publish_or_leave(_unsent(ids), _are_recorded(ids))


def _unsent(ids: Sequence[int]) -> Iterator[JobToPublish]:
    from simcelery.board import engine, feed  # SQLAlchemy loads when it is first needed

    most = get_settings().publish_window * (MOST_URGENT + 1)
    with engine.begin() as connection:
        pending = feed.unsent(connection, ids, limit=most)
    yield from pending


def _are_recorded(ids: Sequence[int]) -> str:
    return f"job {ids[0]} is recorded and" if len(ids) == 1 else f"{len(ids):,} jobs are recorded and"
