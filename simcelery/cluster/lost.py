"""Jobs whose worker ended with its allocation: the scheduler says so, and nobody need wait for a lease."""

from __future__ import annotations

import logging
from functools import partial

from simcelery import broker
from simcelery.board import allocations, engine, leases, transitions
from simcelery.board.allocations import LostWorkers
from simcelery.board.batches import batches
from simcelery.failpoints import failpoint
from simcelery.settings import Settings

log = logging.getLogger(__name__)


def rescue(cluster: str, settings: Settings) -> None:
    """Take back what ran in allocations that have ended. A worker that still renews has left its own."""
    silence = 2 * settings.renew_every
    with engine.begin(settings) as connection:
        found = allocations.lost_workers(connection, cluster, silence)
        leases.bury(connection, [one for each in found for one in each.worker_ids])
    failpoint("lost_workers_buried")
    for each in found:
        if total := sum(batches(partial(_take_back, each))):
            log.warning("allocation %s: rescued %s jobs: %s", each.allocation, total, each.why)


def _take_back(lost: LostWorkers, rows: int) -> int:
    with engine.begin() as connection:
        rescued = transitions.rescue_now(connection, lost.worker_ids, rows, lost.why, lost.cause_of_loss)
    broker.publish_or_leave((job.again for job in rescued if job.again), "what was rescued")
    return len(rescued)
