"""Lanes of which a worker takes no messages, since nothing of them fits on its node now."""

from __future__ import annotations

import pickle

import pytest
from billiard.einfo import ExceptionInfo

from simcelery.broker.parking import LONGEST, Parking
from simcelery.worker.parent import request
from simcelery.worker.parent.request import JobRequest
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.room import NoRoom

LANES = ["a:w", "b:w"]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slots() -> Slots:
    return Slots()


@pytest.fixture
def parking(clock: Clock, slots: Slots) -> Parking:
    made = Parking(clock)
    made.freed = slots.memory.freed
    return made


def test_nothing_is_parked_at_first(parking: Parking) -> None:
    assert parking.left(LANES) == LANES
    assert not parking.any


def test_a_parked_lane_is_left_alone_for_a_while(parking: Parking, clock: Clock) -> None:
    parking.park("a:w", 0)
    assert (parking.left(LANES), parking.any) == (["b:w"], True)
    clock.now += LONGEST - 0.1
    assert parking.left(LANES) == ["b:w"]
    clock.now += 0.2
    assert (parking.left(LANES), parking.any) == (LANES, False)


@pytest.mark.parametrize("who", ["child", "parent"])
def test_when_something_is_freed_all_are_looked_at_again(parking: Parking, slots: Slots, who: str) -> None:
    child = Slot.taken(slots.memory, 3)
    parking.park("a:w", 0)
    parking.park("b:w", 0)
    assert parking.left(LANES) == []
    (child if who == "child" else slots).freed()
    assert parking.left(LANES) == LANES
    parking.park("a:w", 1)
    assert parking.left(LANES) == ["b:w"]


def test_what_was_freed_since_the_claim_is_not_missed(parking: Parking, slots: Slots) -> None:
    freed = slots.memory.freed()
    slots.freed()
    parking.park("a:w", freed)
    assert parking.left(LANES) == LANES


def test_the_parent_parks_the_lane_of_a_message_for_whose_job_there_was_no_room(
    monkeypatch: pytest.MonkeyPatch, parking: Parking
) -> None:
    monkeypatch.setattr(request, "parked", parking)
    monkeypatch.setattr("celery.worker.request.Request.on_failure", lambda *args, **kwargs: "as always")
    message = JobRequest.__new__(JobRequest)
    message._delivery_info, message._app = {"routing_key": "a:w"}, object()
    try:
        raise pickle.loads(pickle.dumps(NoRoom(0)))
    except NoRoom:
        told = ExceptionInfo(internal=True)
    assert message.on_failure(told) == "as always"
    assert parking.left(LANES) == ["b:w"]
