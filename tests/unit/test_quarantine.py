"""The judgement over a worker on which everything fails: played clock, real slots, a board that answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from simcelery import broker
from simcelery.board import engine, quarantine, reads, transitions
from simcelery.board.values import Registration
from simcelery.errors import BoardUnreachableError
from simcelery.settings import Settings
from simcelery.worker import slots as module_of_slots
from simcelery.worker.child import claiming
from simcelery.worker.parent.quarantine import ACQUITTED_FOR, LATELY, LONGEST, Quarantine
from simcelery.worker.slots.child import Slot
from simcelery.worker.slots.parent import Slots

ME = Registration(1, uuid.uuid4())
SETTINGS = Settings(quarantine_after=4)
CONNECTION = object()


@dataclass
class Board:
    """What it says, and what it was told."""

    succeed_elsewhere: set[str] = field(default_factory=lambda: {"w"})
    may_spare: bool = True
    failed_elsewhere: bool = False
    away: bool = False
    not_written: set[uuid.UUID] = field(default_factory=set)
    handed_back: list[set[uuid.UUID]] = field(default_factory=list)
    published: list[set[uuid.UUID]] = field(default_factory=list)
    asked: int = 0

    def begin(self, settings: Settings) -> nullcontext[object]:
        assert settings is SETTINGS
        self.asked += 1
        if self.away:
            raise BoardUnreachableError("away")
        return nullcontext(CONNECTION)

    def others_succeeded(self, on: object, worker_id: int, names: Iterable[str], within: float) -> list[str]:
        assert (on, worker_id, within) == (CONNECTION, 1, LATELY)
        return sorted(self.succeed_elsewhere & set(names))

    def quarantine(self, on: object, me: Registration, workflows: list[str], note: str) -> bool:
        assert (on, me, workflows, note[:14]) == (CONNECTION, ME, ["w"], "in quarantine:")
        return self.may_spare

    def hand_back(self, on: object, failed: frozenset[uuid.UUID], me: Registration) -> list[Any]:
        assert (on, me) == (CONNECTION, ME)
        self.handed_back.append(set(failed))
        back = sorted(failed - self.not_written)
        dependent = SimpleNamespace(task_id=uuid.uuid4(), again=None)
        return [*(SimpleNamespace(task_id=one, again=one) for one in back), dependent]

    def publish(self, jobs: Iterable[uuid.UUID], what: str) -> None:
        assert what == "what was handed back"
        self.published.append(set(jobs))

    def elsewhere(self, on: object, failed: frozenset[uuid.UUID], worker_id: int) -> bool:
        assert (on, set(failed), worker_id) == (CONNECTION, self.handed_back[-1], 1)
        return self.failed_elsewhere


@dataclass
class Withdrawn:
    """Whether the worker takes no jobs, and why."""

    notes: dict[str, str] = field(default_factory=dict)

    def begin(self, reason: str, note: str) -> None:
        self.notes[reason] = note

    def end(self, reason: str) -> None:
        del self.notes[reason]


class Played:
    """A worker with two children, judged by a clock that only this test moves."""

    def __init__(self, board: Board) -> None:
        self.board, self.slots, self.withdrawn, self.now = board, Slots(), Withdrawn(), 1000.0
        self.children = [Slot.taken(self.slots.memory, 0), Slot.taken(self.slots.memory, 1)]
        withdrawal: Any = self.withdrawn
        self.judge = Quarantine(self.slots, SETTINGS, ME, withdrawal, clock=lambda: self.now)

    @property
    def quarantined(self) -> bool:
        return bool(self.withdrawn.notes)

    def look(self, after: float = 0.0) -> bool:
        self.now += after
        self.judge.look()
        return self.quarantined

    def fails(self, *children: int, times: int = 1, workflow: str = "w") -> set[uuid.UUID]:
        return {ends(self.children[one], workflow, False) for one in children for _ in range(times)}


def ends(child: Slot, workflow: str = "w", succeeded: bool = True) -> uuid.UUID:
    """A job of this child ends at once; its task id."""
    task_id = uuid.uuid4()
    child.claiming(task_id, uuid.uuid4())
    child.starting(1, 1, workflow)
    child.finishing(succeeded=succeeded, failed=not succeeded)
    child.idle()
    return task_id


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Played:
    """A worker whose failures are its own fault, as far as the board knows."""
    board = Board()
    monkeypatch.setattr(engine, "begin", board.begin)
    monkeypatch.setattr(quarantine, "others_succeeded", board.others_succeeded)
    monkeypatch.setattr(quarantine, "enter", board.quarantine)
    monkeypatch.setattr(transitions, "hand_back", board.hand_back)
    monkeypatch.setattr(reads, "failed_elsewhere", board.elsewhere)
    monkeypatch.setattr(broker, "publish_or_leave", board.publish)
    return Played(board)


# --- the judgement ---------------------------------------------------------------------------------


def test_too_many_failures_while_others_succeed_are_the_workers_fault(worker: Played) -> None:
    failed = worker.fails(0, 1, times=2)
    assert worker.look()
    assert worker.board.handed_back == [failed]
    assert "its last 4 jobs failed within seconds" in worker.withdrawn.notes["quarantine"]


def test_fewer_are_not_judged(worker: Played) -> None:
    worker.fails(0, times=2)
    worker.fails(1, times=1)
    assert not worker.look()
    assert worker.board.asked == 0
    assert worker.slots.acquitted_until == 0.0


def test_a_worker_without_a_limit_is_never_judged(worker: Played) -> None:
    worker.judge._settings = Settings(quarantine_after=0)
    worker.fails(0, 1, times=100)
    assert not worker.look()


def test_a_child_that_succeeds_clears_the_whole_worker(worker: Played) -> None:
    worker.fails(0, times=10)
    ends(worker.children[1])
    assert not worker.look()
    assert worker.slots.acquitted_until == worker.now + ACQUITTED_FOR


def test_a_child_that_ran_nothing_yet_clears_nobody(worker: Played) -> None:
    worker.fails(0, times=4)
    worker.children[1].claiming(uuid.uuid4(), uuid.uuid4())
    worker.children[1].starting(9, 1, "w")
    assert worker.look()


@pytest.mark.parametrize("why", ["nobody succeeds", "with another workflow", "too many in quarantine"])
def test_if_it_is_not_the_worker_its_children_go_on(worker: Played, why: str) -> None:
    match why:
        case "nobody succeeds":
            worker.board.succeed_elsewhere = set()
        case "with another workflow":
            worker.board.succeed_elsewhere = {"other"}
        case _:
            worker.board.may_spare = False
    worker.fails(0, 1, times=2)
    assert not worker.look()
    assert worker.board.handed_back == []
    assert worker.slots.acquitted_until == worker.now + ACQUITTED_FOR


def test_an_acquittal_holds_for_a_while_and_then_it_is_judged_again(worker: Played) -> None:
    worker.board.succeed_elsewhere = set()
    worker.fails(0, 1, times=2)
    worker.look()
    worker.board.succeed_elsewhere = {"w"}
    assert not worker.look(after=ACQUITTED_FOR - 0.1)
    assert worker.look(after=0.2)


def test_a_board_that_is_away_judges_later(worker: Played) -> None:
    worker.board.away = True
    worker.fails(0, 1, times=2)
    assert not worker.look()
    assert worker.slots.acquitted_until == 0.0  # who fails waits for the judgement
    worker.board.away = False
    assert worker.look()


def test_a_node_that_takes_no_files_is_not_judged_for_it(worker: Played) -> None:
    worker.fails(0, 1, times=2)
    worker.children[0].report_unusable()
    assert not worker.look()
    assert worker.board.asked == 0


# --- in quarantine ---------------------------------------------------------------------------------


def test_what_fails_after_the_judgement_is_handed_back_too_and_once(worker: Played) -> None:
    failed = worker.fails(0, 1, times=2)
    worker.look()
    late = worker.fails(1)  # it ran when the others were judged
    worker.look(after=1.0)
    worker.look(after=1.0)
    assert worker.board.handed_back == [failed, failed | late]
    assert worker.board.published == worker.board.handed_back  # what is pending again is sent again


def test_what_the_board_learns_only_after_the_judgement_is_handed_back_then(worker: Played) -> None:
    """A child writes the failures of a slice together: the judgement may come before that."""
    failed = worker.fails(0, 1, times=2)
    worker.board.not_written = set(sorted(failed)[:3])
    worker.look()
    worker.board.not_written = set()
    worker.look(after=0.5)
    worker.look(after=0.5)
    assert worker.board.handed_back == [failed, failed]
    assert worker.board.published[-1] == failed


def test_a_quarantine_ends_when_the_jobs_fail_elsewhere_too(worker: Played) -> None:
    worker.fails(0, 1, times=2)
    worker.look()
    worker.board.failed_elsewhere = True
    assert worker.look(after=4.5)  # it is not asked all the time
    assert not worker.look(after=0.5)
    assert worker.slots.acquitted_until == worker.now + LONGEST  # trust after a wrong one


def test_it_ends_after_ten_minutes_as_a_trial(worker: Played) -> None:
    worker.fails(0, 1, times=2)
    worker.look()
    assert worker.look(after=LONGEST - 6.0)
    assert not worker.look(after=6.0)
    assert worker.slots.acquitted_until == worker.now
    worker.fails(0, 1)
    assert worker.look()  # what fails now is judged at once


def test_a_board_that_is_away_leaves_it_in_quarantine(worker: Played) -> None:
    worker.fails(0, 1, times=2)
    worker.look()
    worker.board.away = True
    assert worker.look(after=2 * LONGEST)


# --- what the children make of it ------------------------------------------------------------------


def test_a_child_waits_for_the_judgement_only_as_long_as_it_may_be_the_node(
    worker: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_of_slots, "mine", worker.children[0])
    monkeypatch.setattr(claiming, "get_settings", lambda: Settings(quarantine_after=2))
    worker.fails(0)
    assert not claiming.is_suspicious()
    worker.fails(0)
    assert claiming.is_suspicious()
    worker.slots.acquit(float("inf"))
    assert not claiming.is_suspicious()
    worker.slots.acquit(0.0)
    monkeypatch.setattr(claiming, "get_settings", lambda: Settings(quarantine_after=0))
    assert not claiming.is_suspicious()


# --- what others hear of it ------------------------------------------------------------------------


def test_a_worker_tells_once_with_which_workflows_it_has_succeeded(worker: Played) -> None:
    worker.fails(0, workflow="relax")
    assert worker.judge.successes() == []
    ends(worker.children[0], "relax")
    ends(worker.children[1], "eos")
    assert worker.judge.successes() == ["eos", "relax"]
    assert worker.judge.successes() == []
    worker.fails(0, workflow="relax")
    assert worker.judge.successes() == []
    ends(worker.children[0], "relax")
    assert worker.judge.successes() == ["relax"]
