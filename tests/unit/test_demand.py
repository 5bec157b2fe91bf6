"""How many allocations jobs fill."""

from __future__ import annotations

import pytest

from simcelery.board.demand import Load, Room
from simcelery.cluster.demand import allocations_for, room_of
from simcelery.cluster.profile import Profile

ROOM = Room(queues=None, workflows=None, slots=4, cores=8, memory=100, gpus=2)
NONE = Load(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("busy", "waiting", "workers", "expected"),
    [
        (NONE, NONE, 1, 0),
        (NONE, Load(1, 1, 0, 0), 1, 1),
        (NONE, Load(4, 4, 0, 0), 1, 1),
        (NONE, Load(5, 5, 0, 0), 1, 2),
        (Load(4, 4, 0, 0), Load(1, 1, 0, 0), 1, 2),
        (Load(4, 4, 0, 0), Load(1, 1, 0, 0), 2, 1),
        (NONE, Load(2, 9, 0, 0), 1, 2),
        (NONE, Load(2, 2, 301, 0), 1, 4),
        (NONE, Load(3, 3, 0, 5), 1, 3),
        (NONE, Load(3, 3, 0, 5), 3, 1),
    ],
)
def test_as_many_as_they_fill_by_what_is_scarcest(
    busy: Load, waiting: Load, workers: int, expected: int
) -> None:
    assert allocations_for(busy, waiting, ROOM, workers) == expected


def test_what_is_not_known_of_a_worker_does_not_count() -> None:
    unknown = Room(queues=None, workflows=None, slots=2, cores=None, memory=None, gpus=None)
    assert allocations_for(NONE, Load(3, 300, 300, 300), unknown, 1) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"worker": ("-c", "3", "-Q", "cpu,gpu")}, (["cpu", "gpu"], 3, None)),
        ({"worker": ("--concurrency=3", "--queues=cpu")}, (["cpu"], 3, None)),
        ({"worker": ("-c5", "-Qcpu", "-E")}, (["cpu"], 5, None)),
        ({"cores": 16, "each_node": 4}, (None, 4, 4)),
        ({}, (None, 1, None)),
    ],
)
def test_before_there_was_a_worker_the_profile_tells(given: dict[str, object], expected: object) -> None:
    about = {"name": "c", "launcher": "slurm", "python": "/p", "folder": "/f", "environment": {}}
    room = room_of(Profile(**about, **given))  # type: ignore[arg-type]
    assert (room.queues, room.slots, room.cores) == expected
