"""What ``submit`` says of jobs that no worker will run which there is, or which a cluster would start."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from simcelery.cli.output import note
from simcelery.errors import ServiceError

if TYPE_CHECKING:
    from simcelery.submission.handle import Jobs


def warn_of_nobody(jobs: Jobs) -> None:
    """Name on stderr why no live worker will run them. The last one stands for what was submitted with it.

    While there is no live worker at all, nothing is said: whoever submits first starts one later.
    """
    from simcelery.cluster.coming import coming
    from simcelery.describe import story
    from simcelery.describe.reasons import nobody_can
    from simcelery.settings import get_settings

    if (last := jobs.records.last_to_run) is None:
        return
    with suppress(ServiceError):  # all is recorded
        found = story.of_workers(last)
        if found is None or not found.workers or found.job.state not in ("pending", "blocked"):
            return
        why, job = nobody_can(found), found.job
        seconds = found.expected.tried_from if found.expected else None
        if why is None or any(
            one.could_run(job.queue, job.workflow, found.needs, seconds) for one in coming(get_settings())
        ):
            return
        note(f"simcelery: job {last} cannot run now: {why.text}; {why.advice}")
