"""Rescue: jobs of workers whose lease ended go back to work.

It takes jobs, not workers: each job has a patience of its own, and a worker that comes back in time
keeps what it runs. Who judges must have been connected for a whole lease, and so must Postgres.
"""

from __future__ import annotations

import time

from simcelery.board import transitions
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.means import USUAL, Means
from simcelery.settings import get_settings

_ROWS = 1000


def tick(judge: int | None = None, means: Means = USUAL) -> int:
    """Rescue what is lost, and publish what is pending again; how many jobs were taken from lost workers.

    Parameters:
        judge: the id of the worker that judges the others; None: somebody by hand.

    Raises:
        BoardUnreachableError: nothing more is rescued.
        BrokerUnreachableError: what was rescued waits for republish.
    """
    total = 0
    grace = get_settings().lease
    deadline = time.monotonic() + LONGEST_ACT
    while time.monotonic() < deadline:
        with means.begin() as connection:
            rescued = transitions.rescue(connection, grace=grace, judge=judge, limit=_ROWS)
        means.publish(job.again for job in rescued if job.again)
        total += len(rescued)
        if len(rescued) < _ROWS:
            break
    return total
