"""Chores: what the parent writes is done once, by one at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from simcelery.errors import BoardUnreachableError
from simcelery.settings import Settings
from simcelery.worker.parent import chores
from simcelery.worker.parent.chores import Chores
from tests.waiting import within


def test_the_end_of_a_worker_does_not_do_what_its_thread_is_doing(tmp_path: Path) -> None:
    """Both at once would pop from an empty queue, or forget what was not done."""
    done: list[int] = []
    begun = threading.Event()

    def slow(number: int) -> None:
        begun.set()
        time.sleep(0.05)
        done.append(number)

    for number in range(20):
        chores.add(number, lambda number=number: slow(number))
    mine = Chores(Settings(home=tmp_path))
    mine.start()
    assert begun.wait(within(10))
    mine.finish()
    assert done == list(range(20))
    assert not len(chores._waiting)


def test_what_waits_already_is_done_once(tmp_path: Path) -> None:
    done: list[str] = []
    for _ in range(20_000):
        assert chores.add("the same", lambda: done.append("the same"))
    assert chores.add("another", lambda: done.append("another"))
    Chores(Settings(home=tmp_path)).finish()
    assert done == ["the same", "another"]


def test_no_more_than_so_many_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The board may be away for days."""
    done: list[int] = []
    added = [chores.add(number, lambda number=number: done.append(number)) for number in range(20_000)]
    assert added == [True] * chores.MOST + [False] * (20_000 - chores.MOST)
    assert [record.getMessage() for record in caplog.records] == [
        "10,000 things wait to be written: what comes now is left to recovery"
    ]
    Chores(Settings(home=tmp_path)).finish()
    assert done == list(range(chores.MOST))


def test_what_the_board_does_not_let_through_keeps_its_place(tmp_path: Path) -> None:
    done: list[int] = []
    away = [True]

    def write() -> None:
        if away[0]:
            raise BoardUnreachableError("away")
        done.append(1)

    chores.add("first", write)
    chores.add("second", lambda: done.append(2))
    mine = Chores(Settings(home=tmp_path))
    mine.round()
    assert not done
    away[0] = False
    mine.round()
    assert done == [1, 2]
