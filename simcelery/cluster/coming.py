"""Workers that are on their way, or that clusters would start for more work: which jobs they could run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from simcelery.board import clusters, demand, engine
from simcelery.board.clusters import ClusterRow
from simcelery.board.demand import Room
from simcelery.cluster.demand import room_of
from simcelery.cluster.profile import from_json
from simcelery.errors import UsageError
from simcelery.execution import allocation
from simcelery.needs import Needs
from simcelery.settings import Settings


@dataclass(frozen=True)
class Coming:
    """A worker that may come.

    Attributes:
        lasts: for how many seconds it will run jobs.
    """

    cluster: str
    room: Room
    lasts: float

    def could_run(self, queue: str, workflow: str, needs: Needs | None, seconds: float | None) -> bool:
        """Whether it could run such a job; what is not known of it is in its favour.

        Parameters:
            seconds: how long it must last for the job to begin as soon as it has begun itself.
        """
        room = self.room
        if room.queues is not None and queue not in room.queues:
            return False
        if room.workflows is not None and workflow not in room.workflows:
            return False
        asked = (needs.cores, needs.memory, needs.gpus) if needs else ()
        has = (room.cores, room.memory, room.gpus)
        enough = all(most is None or (one or 0) <= most for one, most in zip(asked, has, strict=False))
        return enough and (seconds or 0.0) <= self.lasts


def coming(settings: Settings) -> list[Coming]:
    """One for each cluster that has allocations which do not run yet, or may start more by itself."""
    with engine.begin(settings) as connection:
        found = clusters.listed(connection)
    return [one for row in found if _grows(row) for one in _of(row, settings)]


def too_short(
    settings: Settings, queue: str, workflow: str, needs: Needs | None, seconds: float
) -> dict[str, float]:
    """The clusters that would start workers for a job that lasts as long, were their walltime not too short.

    Returns:
        For how many seconds their workers run jobs. Nothing, if those of one cluster run them long enough.
    """
    able = [one for one in coming(settings) if one.could_run(queue, workflow, needs, None)]
    if any(one.lasts >= seconds for one in able):
        return {}
    return {one.cluster: one.lasts for one in able}


def _grows(row: ClusterRow) -> bool:
    waits = row.live > row.running or row.live < row.wanted
    return row.state != "stopped" and (waits or row.live < (row.most or 0))


def _of(row: ClusterRow, settings: Settings) -> Iterator[Coming]:
    try:
        profile = from_json(row.profile)
    except UsageError:
        return  # nobody can start that
    with engine.begin(settings) as connection:
        room = demand.room_of(connection, row.name) or room_of(profile)
    lasts = math.inf
    if profile.walltime is not None:
        lasts = allocation.before_warning(profile.walltime, settings) - room.startup
    yield Coming(row.name, room, lasts)
