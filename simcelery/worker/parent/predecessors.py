"""A worker that starts where another one was killed rescues its jobs at once, since that death is certain."""

from __future__ import annotations

import logging
import socket
from functools import partial

from simcelery import broker
from simcelery.board import allocations, engine, leases, transitions
from simcelery.board.allocations import LostWorkers
from simcelery.board.batches import batches
from simcelery.execution import processes
from simcelery.execution.ending import end
from simcelery.execution.identity import certainly_dead
from simcelery.worker.parent import output
from simcelery.worker.slots.layout import token_of

log = logging.getLogger(__name__)


def take_over(worker_id: int, grace: float) -> int:
    """End the processes of this host's dead workers, then rescue their jobs; return how many jobs.

    Parameters:
        grace: seconds between SIGTERM and SIGKILL for processes that they left.

    Raises:
        BoardUnreachableError: the next call, by this or another worker on this host, does the rest.
    """
    with engine.begin() as connection:
        others = leases.predecessors(connection, socket.gethostname(), worker_id)
        dead = [other for other in others if certainly_dead(other.identity, other.pid)]
        leases.bury(connection, [other.id for other in dead])
    for other in dead:
        token = token_of(other.identity, other.pid)
        _end_processes(token, grace)
        output.deliver(token)
    total = _rescue([other.id for other in dead]) if dead else 0
    if total:
        log.warning("rescued %s jobs of workers that died on this host", total)
    return total


def _rescue(worker_ids: list[int]) -> int:
    """Take back what these ran; where their allocation has ended, that is why."""
    with engine.begin() as connection:
        lost = allocations.lost_among(connection, worker_ids)
    by_allocation = (partial(_take_back, each.worker_ids, each) for each in lost)
    return sum(sum(batches(each)) for each in (*by_allocation, partial(_take_back, worker_ids, None)))


def _take_back(worker_ids: list[int], lost: LostWorkers | None, rows: int) -> int:
    told = (lost.why, lost.cause_of_loss) if lost else ()
    with engine.begin() as connection:
        rescued = transitions.rescue_now(connection, worker_ids, rows, *told)
    broker.publish_or_leave((job.again for job in rescued if job.again), "what was rescued")
    return len(rescued)


def _end_processes(token: str, grace: float) -> None:
    """End the dead worker's processes; its reaper does so as well, if it is alive."""
    ended = end(lambda: processes.members_of_worker([], token), grace)
    if ended.processes:
        log.warning("processes left by a worker that died on this host: %s", ended)
