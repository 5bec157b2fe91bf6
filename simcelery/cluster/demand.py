"""How many allocations a cluster needs for what waits: between the two bounds that it was given."""

from __future__ import annotations

import argparse

from simcelery.board import clusters, demand, engine
from simcelery.board.clusters import ClusterRow
from simcelery.board.demand import Load, Room
from simcelery.cluster.profile import Profile, from_json
from simcelery.execution import allocation
from simcelery.settings import Settings


def adapt(settings: Settings, row: ClusterRow) -> bool:
    """Want as many allocations as there is work for, if the cluster was told to do so.

    Returns:
        Whether there is work that the last workers have not found.

    Raises:
        UsageError: its profile is none.
    """
    if row.least is None or row.most is None or row.state == "stopped":
        return False
    profile = from_json(row.profile)
    workers = profile.nodes * profile.each_node
    with engine.begin(settings) as connection:
        room = demand.room_of(connection, row.name) or room_of(profile)
        busy = demand.running(connection, row.name)
        lasts = _lasts(profile, settings)
        waiting = demand.pending(connection, room, row.most * workers * room.slots + 1, lasts)
        is_in_vain = waiting.jobs > 0 and demand.is_disbelieved(connection, row.name, room, lasts)
        if is_in_vain:
            waiting = Load(0, 0, 0, 0)
        clusters.adapt(connection, row.name, allocations_for(busy, waiting, room, workers))
    return is_in_vain


def replaces(settings: Settings, row: ClusterRow) -> bool:
    """Whether a cluster replaces what has ended: not if its last two left without a job, and nothing is new.

    Raises:
        UsageError: its profile is none.
    """
    profile = from_json(row.profile)
    with engine.begin(settings) as connection:
        room = demand.room_of(connection, row.name) or room_of(profile)
        return not demand.is_disbelieved(connection, row.name, room, _lasts(profile, settings))


def _lasts(profile: Profile, settings: Settings) -> float | None:
    return profile.walltime and allocation.before_warning(profile.walltime, settings)


def allocations_for(busy: Load, waiting: Load, room: Room, workers: int) -> int:
    """How many allocations with so many workers each these jobs fill."""
    whole = Load(*(one + other for one, other in zip(busy, waiting, strict=True)))
    limits = (
        (whole.jobs, room.slots),
        (whole.cores, room.cores),
        (whole.memory, room.memory),
        (whole.gpus, room.gpus),
    )
    return max(-(-asked // (of_one * workers)) for asked, of_one in limits if of_one)


def room_of(profile: Profile) -> Room:
    """What a worker of this profile will have, as far as the profile tells; before there was any."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--concurrency", type=int)
    parser.add_argument("-Q", "--queues")
    given, _ = parser.parse_known_args(list(profile.worker))
    cores = profile.cores and max(1, profile.cores // profile.each_node)
    return Room(
        queues=given.queues.split(",") if given.queues else None,
        workflows=None,
        slots=max(1, given.concurrency or cores or 1),
        cores=cores,
        memory=profile.memory and profile.memory // profile.each_node,
        gpus=profile.gpus,
    )
