"""Pending jobs that no live worker can start, in sentences: for ``wait``, ``watch`` and ``doctor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from simcelery.describe.words import many

if TYPE_CHECKING:
    from simcelery.board.reads.workers import Unserved


def in_sentences(found: Sequence[Unserved]) -> list[tuple[str, str]]:
    """Which pending jobs no live worker can start, and what to do: a pair for each queue or workflow."""
    queues: Counter[str] = Counter()
    for one in found:
        if one.why == "queue":
            queues[one.queue] += one.count
    said = [
        (
            f"no live worker serves queue {queue!r} ({many(count, 'pending job')})",
            f"start one with 'celery -A simcelery worker -Q {quote(queue)}'",
        )
        for queue, count in queues.items()
    ]
    for one in found:
        about = f"{one.workflow} ({many(one.count, 'pending job')} in queue {one.queue!r})"
        if one.why == "workflow":
            advice = f"start one that has its module with 'celery -A simcelery worker -Q {quote(one.queue)}'"
            said.append((f"no live worker of its queue knows the workflow {about}", advice))
        elif one.why == "quarantine":
            advice = "see 'simcelery workers', fix what is wrong there, then restart them"
            said.append((f"all workers that know the workflow {about} are in quarantine", advice))
    return said
