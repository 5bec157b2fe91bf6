"""Outbox: what the parent writes is done once, by one at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from simcelery.errors import BoardUnreachableError
from simcelery.settings import Settings
from simcelery.worker.parent import outbox
from simcelery.worker.parent.outbox import Outbox
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
        outbox.add(number, lambda number=number: slow(number))
    mine = Outbox(Settings(home=tmp_path))
    mine.start()
    assert begun.wait(within(10))
    mine.finish()
    assert done == list(range(20))
    assert not len(outbox._waiting)


def test_what_waits_already_is_done_once(tmp_path: Path) -> None:
    done: list[str] = []
    for _ in range(20_000):
        assert outbox.add("the same", lambda: done.append("the same"))
    assert outbox.add("another", lambda: done.append("another"))
    assert (outbox.holds("another"), outbox.holds("a third")) == (True, False)
    Outbox(Settings(home=tmp_path)).finish()
    assert done == ["the same", "another"]


def test_no_more_than_so_many_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The board may be away for days."""
    done: list[int] = []
    added = [outbox.add(number, lambda number=number: done.append(number)) for number in range(20_000)]
    assert added == [True] * outbox.MOST + [False] * (20_000 - outbox.MOST)
    assert [record.getMessage() for record in caplog.records] == [
        "10,000 writes to the board are waiting: further ones are left to recovery"
    ]
    Outbox(Settings(home=tmp_path)).finish()
    assert done == list(range(outbox.MOST))


def test_what_the_board_does_not_let_through_keeps_its_place(tmp_path: Path) -> None:
    done: list[int] = []
    away = [True]

    def write() -> None:
        if away[0]:
            raise BoardUnreachableError("away")
        done.append(1)

    outbox.add("first", write)
    outbox.add("second", lambda: done.append(2))
    mine = Outbox(Settings(home=tmp_path))
    mine.round()
    assert not done
    away[0] = False
    mine.round()
    assert done == [1, 2]
