"""Rescue: take back jobs from workers whose lease has expired.

It takes jobs, not workers: each job has its own patience, and a worker that comes back in time keeps its
jobs. A worker may judge others only if it, and Postgres, have been running for a whole lease.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from simcelery.board import reads, transitions
from simcelery.board.batches import batches
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act, Wait
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.settings import get_settings


def tick(effects: Effects = USUAL) -> int:
    """Rescue lost jobs, and publish those that are pending again; return how many were rescued.

    Raises:
        BoardUnreachableError: nothing more is rescued.
        BrokerUnreachableError: rescued jobs wait for republish.
    """
    return sum(batches(partial(_some, effects), LONGEST_ACT))


def _some(effects: Effects, rows: int) -> int:
    grace = get_settings().lease
    with effects.begin() as connection:
        rescued = transitions.rescue(connection, grace=grace, judge=effects.judge, limit=rows)
    effects.publish(job.again for job in rescued if job.again)
    return len(rescued)


def wait(effects: Effects) -> Wait | None:
    """Until Postgres has been running for a whole lease, no worker is judged."""
    with effects.begin() as connection:
        started_at, now = reads.started(connection)
    until = started_at + dt.timedelta(seconds=get_settings().lease)
    return Wait(started_at, until) if now <= until else None


ACT = Act(
    name="rescue",
    every=1.0,
    tick=tick,
    counts=("rescued",),
    does="takes jobs back from workers whose lease expired longer ago than the job's patience",
    told="{jobs} of lost workers",
    wait=wait,
)
