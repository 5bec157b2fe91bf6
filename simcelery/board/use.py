"""Allocations that are of no use though they run: nothing runs on them, or no worker is there.

Whether somebody works there is looked at with each look at the scheduler, and noted on the allocation's row.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, or_, select, update

from simcelery.board import clusters
from simcelery.board.leases import is_live
from simcelery.board.models import Allocation, Job, Worker
from simcelery.board.sql_helpers import seconds

# Seconds after which one that runs, and has no worker, counts no longer as one of those that are wanted.
WITHOUT_WORKER = 600.0


def note(connection: Connection, cluster: str) -> None:
    """Note which of those that run have live workers, but no job; and which have had no worker for long.

    The latter may still be of use: their setup takes as long, or the network hides them. If no worker has
    come at all, it is a failure.
    """
    runs = and_(Allocation.cluster == cluster, Allocation.state == "running")
    there = Worker.allocation == Allocation.name
    busy = (
        select(Job.id).join(Worker, Worker.id == Job.worker_id).where(there, Job.state == "running").exists()
    )
    lives = select(Worker.id).where(there, is_live()).exists()
    idle = update(Allocation).where(runs, Allocation.idle_since.is_(None), lives, ~busy)
    connection.execute(idle.values(idle_since=func.now()))
    not_idle = update(Allocation).where(runs, Allocation.idle_since.is_not(None), or_(~lives, busy))
    connection.execute(not_idle.values(idle_since=None))
    _note_without_worker(connection, cluster)


def _note_without_worker(connection: Connection, cluster: str) -> None:
    runs = and_(Allocation.cluster == cluster, Allocation.state == "running")
    came = select(Worker.id).where(Worker.allocation == Allocation.name)
    lately = came.where(Worker.renewed_at > func.now() - seconds(WITHOUT_WORKER)).exists()
    without = update(Allocation).where(
        runs,
        Allocation.no_worker_at.is_(None),
        Allocation.starts_at < func.now() - seconds(WITHOUT_WORKER),
        ~lately,
    )
    found = without.values(no_worker_at=func.now()).returning(Allocation.name, came.exists().label("came"))
    for row in connection.execute(found).all():
        if not row.came:
            minutes = f"{WITHOUT_WORKER / 60:.0f} minutes"
            clusters.failed(connection, cluster, f"{row.name} has run for {minutes} without a worker")
    again = update(Allocation).where(runs, Allocation.no_worker_at.is_not(None), lately)
    connection.execute(again.values(no_worker_at=None))
