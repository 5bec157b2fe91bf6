"""When a worker ends by itself: a played clock, real slots, and a board that is asked one question."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery.board import engine, reads
from simcelery.board.values import Registration
from simcelery.broker.parking import Parking
from simcelery.errors import BoardUnreachableError
from simcelery.settings import Settings
from simcelery.worker.parent import limits
from simcelery.worker.parent.limits import Limits, Watch
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.layout import Order
from simcelery.worker.slots.parent import Slots

SETTINGS = Settings(shutdown_grace=30.0, kill_grace=5.0)
CONNECTION = object()


@dataclass
class Ended:
    """What a worker is told when a limit is reached; it is told once."""

    how: list[object] = field(default_factory=list)

    def finish_up(self, reason: str = "") -> None:
        self.how.append(reason.partition(":")[0] or "finish up")

    def wind_up(self, order: Order, reason: str) -> None:
        self.how.append((order, reason))

    def fail(self, reason: str) -> None:
        self.how.append(reason)


class Played:
    """A watch over slots; `at(seconds)` looks so many seconds after the start."""

    def __init__(self, limits: Limits, slots: Slots | None = None) -> None:
        self.slots = slots or Slots()
        self.slot = Slot.taken(self.slots.memory, 0)
        self._ended = Ended()
        self._now = 100.0
        worker: Any = self._ended
        lease: Any = SimpleNamespace(me=Registration(1, uuid.uuid4()), queues=["default"], workflows=["w"])
        self._watch = Watch(limits, self.slots, worker, SETTINGS, lease, clock=lambda: self._now)

    def at(self, seconds: float) -> list[object]:
        self._now = 100.0 + seconds
        self._watch.look()
        return self._ended.how

    def claims(self) -> None:
        self.slot.claiming(uuid.uuid4(), uuid.uuid4())
        self.slot.starting(1, 1, "w")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the board says of whether anything is left, and how often it was asked."""
    board: dict[str, Any] = {"anything": True, "asked": 0}

    def begin(settings: Settings) -> nullcontext[object]:
        assert settings is SETTINGS
        return nullcontext(CONNECTION)

    def anything_left(connection: object, queues: list[str], workflows: list[str], worker_id: int) -> bool:
        assert (connection, queues, workflows, worker_id) == (CONNECTION, ["default"], ["w"], 1)
        board["asked"] += 1
        if board["anything"] is None:
            raise BoardUnreachableError("away")
        return bool(board["anything"])

    monkeypatch.setattr(engine, "begin", begin)
    monkeypatch.setattr(reads, "anything_left", anything_left)
    monkeypatch.setattr(reads, "only_misfits", anything_left)
    return board


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> Parking:
    """The lanes of this worker from which it takes nothing now."""
    found = Parking()
    monkeypatch.setattr(limits, "parked", found)
    return found


def test_without_limits_a_worker_never_ends_by_itself() -> None:
    worker = Played(Limits())
    assert worker.at(0) == worker.at(1e7) == []


# --- idle ------------------------------------------------------------------------------------------


def test_an_idle_worker_ends_after_max_idle_and_not_before() -> None:
    worker = Played(Limits(max_idle=60.0))
    assert worker.at(59.9) == []
    assert worker.at(60.0) == ["finish up"]


def test_the_idle_time_counts_from_the_last_job() -> None:
    worker = Played(Limits(max_idle=60.0))
    worker.claims()
    assert worker.at(50.0) == []
    worker.slot.idle()
    assert worker.at(109.0) == []
    assert worker.at(110.0) == ["finish up"]


def test_a_worker_with_a_job_is_never_idle() -> None:
    worker = Played(Limits(max_idle=60.0))
    worker.claims()
    assert worker.at(1e6) == []


# --- so many jobs ----------------------------------------------------------------------------------


def test_after_max_jobs_a_worker_takes_no_more_and_finishes() -> None:
    worker = Played(Limits(max_jobs=2), Slots(max_jobs=2))
    worker.claims()
    assert worker.at(1) == []
    worker.claims()
    assert worker.at(2) == ["finish up"]


# --- walltime --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walltime", "warned"),
    [
        (3600.0, 3555.0),  # 30 s to save what they can, 5 s to be killed, 10 s for the last writes
        (90.0, 45.0),
        (60.0, 30.0),  # at least half of the time is the jobs'
    ],
)
def test_jobs_are_warned_in_time_before_the_allocation_ends(walltime: float, warned: float) -> None:
    worker = Played(Limits(walltime=walltime))
    worker.claims()
    assert worker.at(warned - 0.1) == []
    assert worker.at(warned) == [(Order.WALLTIME, "the allocation ends soon; running jobs are warned")]


# --- nothing that fits -----------------------------------------------------------------------------


def test_a_worker_for_which_all_jobs_take_too_long_leaves_early(
    left: dict[str, Any], parked: Parking
) -> None:
    worker = Played(Limits(walltime=3600.0))
    worker.claims()
    assert worker.at(1000.0) == []
    worker.slot.idle()
    parked.park("a lane", 0)
    assert worker.at(1029.0) == []
    assert left["asked"] == 0
    left["anything"] = False  # one of them fits
    assert worker.at(1031.0) == []
    left["anything"] = True
    assert worker.at(1032.0) == []
    assert left["asked"] == 1
    assert worker.at(1033.0) == ["leaving early"]


def test_a_short_allocation_is_left_sooner(left: dict[str, Any], parked: Parking) -> None:
    worker = Played(Limits(walltime=100.0))
    parked.park("a lane", 0)
    assert worker.at(4.9) == []
    assert worker.at(5.0) == ["leaving early"]


@pytest.mark.parametrize("limit", [{}, {"drain": True}])
def test_a_worker_that_nothing_ends_does_not_ask_what_fits(
    left: dict[str, Any], parked: Parking, limit: dict[str, bool]
) -> None:
    worker = Played(Limits(**limit))  # type: ignore[arg-type]
    parked.park("a lane", 0)
    assert worker.at(1000.0) == []
    assert left["asked"] == len(limit)


def test_nobody_is_asked_while_messages_are_taken_or_a_job_runs(
    left: dict[str, Any], parked: Parking
) -> None:
    worker = Played(Limits(walltime=3600.0))
    assert worker.at(100.0) == []
    parked.park("a lane", 0)
    worker.claims()
    assert worker.at(200.0) == []
    assert left["asked"] == 0


def test_who_drains_asks_both(left: dict[str, Any], parked: Parking) -> None:
    worker = Played(Limits(walltime=3600.0, drain=True))
    parked.park("a lane", 0)
    assert worker.at(100.0) == ["leaving early"]
    assert left["asked"] == 2


def test_a_board_that_is_away_does_not_say_that_nothing_fits(left: dict[str, Any], parked: Parking) -> None:
    worker = Played(Limits(walltime=3600.0))
    parked.park("a lane", 0)
    left["anything"] = None
    assert worker.at(100.0) == []


# --- drain -----------------------------------------------------------------------------------------


def test_a_draining_worker_ends_when_nothing_is_left(left: dict[str, Any]) -> None:
    worker = Played(Limits(drain=True))
    assert worker.at(2.0) == []
    left["anything"] = False
    assert worker.at(4.0) == ["finish up"]


def test_it_does_not_ask_while_it_is_busy_nor_every_second(left: dict[str, Any]) -> None:
    worker = Played(Limits(drain=True))
    worker.claims()
    left["anything"] = False
    assert worker.at(10.0) == []
    assert left["asked"] == 0
    worker.slot.idle()
    left["anything"] = True
    for seconds, asked in ((11.0, 1), (12.0, 1), (12.9, 1), (13.0, 2), (14.0, 2)):
        worker.at(seconds)
        assert left["asked"] == asked


def test_a_board_that_is_away_is_no_empty_one(left: dict[str, Any]) -> None:
    worker = Played(Limits(drain=True))
    left["anything"] = None
    assert worker.at(2.0) == []
    left["anything"] = False
    assert worker.at(4.0) == ["finish up"]


def test_a_worker_that_does_not_drain_asks_nothing(left: dict[str, Any]) -> None:
    assert Played(Limits(max_idle=60.0)).at(30.0) == []
    assert left["asked"] == 0


# --- a child that cannot start ---------------------------------------------------------------------


def test_a_worker_whose_children_cannot_start_fails() -> None:
    worker = Played(Limits(max_idle=0.0))
    worker.slot.report_broken()
    assert worker.at(0) == ["the function named by --startup failed; see the log"]


def test_it_is_told_once() -> None:
    worker = Played(Limits(max_idle=1.0, walltime=60.0))
    worker.at(5.0)
    assert worker.at(100.0) == ["finish up"]
