"""What ``submit`` says of jobs that need more of a node than any live worker has."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from simcelery.cli.output import note
from simcelery.errors import ServiceError

if TYPE_CHECKING:
    from simcelery.submission.handle import Jobs


def warn_of_needs(jobs: Jobs) -> None:
    """Name on stderr what no live worker of their queue has. What was submitted together needs the same."""
    from simcelery.board import engine, reads
    from simcelery.describe.needs import never

    if (last := jobs.records.last_to_run) is None:
        return
    with suppress(ServiceError), engine.begin() as connection:  # all is recorded
        if (needs := reads.needs(connection, last)) is None:
            return
        job = reads.job(connection, last)
        able = [
            worker
            for worker in reads.workers(connection, live_only=True)
            if job and job.queue in worker["queues"] and job.workflow in worker["workflows"]
        ]
        if said := never(needs, able):
            note(f"simcelery: job {last} cannot run now: {said}; ask for less, or start a worker with more")
