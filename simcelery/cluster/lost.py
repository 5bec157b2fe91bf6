"""Jobs whose worker ended with its allocation: the scheduler says so, and nobody need wait for a lease."""

from __future__ import annotations

import logging
from functools import partial

from simcelery import broker
from simcelery.board import allocations, engine, leases, transitions
from simcelery.board.allocations import LostWorkers
from simcelery.board.batches import batches
from simcelery.board.states import Cause
from simcelery.failpoints import failpoint
from simcelery.settings import Settings

log = logging.getLogger(__name__)

# What a scheduler calls so is the same for a job; all else happened to its worker.
_CAUSES = {"walltime": Cause.WALLTIME, "out_of_memory": Cause.OUT_OF_MEMORY}


def rescue(cluster: str, settings: Settings) -> None:
    """Take back what ran in allocations that have ended. A worker that still renews has left its own."""
    silence = 2 * settings.renew_every
    with engine.begin(settings) as connection:
        found = allocations.lost_workers(connection, cluster, silence)
        leases.bury(connection, [one for each in found for one in each.worker_ids])
    failpoint("lost_workers_buried")
    for each in found:
        if total := sum(batches(partial(_take_back, each))):
            log.warning("allocation %s: rescued %s jobs: %s", each.allocation, total, _why(each))


def _take_back(lost: LostWorkers, rows: int) -> int:
    cause = _CAUSES.get(lost.cause, Cause.WORKER_LOST)
    with engine.begin() as connection:
        rescued = transitions.rescue_now(connection, lost.worker_ids, rows, _why(lost), cause)
    broker.publish_or_leave((job.again for job in rescued if job.again), "what was rescued")
    return len(rescued)


def _why(lost: LostWorkers) -> str:
    told = f" ({lost.told})" if lost.told else ""
    return f"allocation {lost.scheduler_id} of its worker ended: {lost.cause.replace('_', ' ')}{told}"
