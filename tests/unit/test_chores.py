"""Chores: what the parent writes is done once, by one at a time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from simcelery.settings import Settings
from simcelery.worker import chores
from simcelery.worker.chores import Chores


def test_the_end_of_a_worker_does_not_do_what_its_thread_is_doing(tmp_path: Path) -> None:
    """Both at once would pop from an empty queue, or forget what was not done."""
    done: list[int] = []
    begun = threading.Event()

    def slow(number: int) -> None:
        begun.set()
        time.sleep(0.05)
        done.append(number)

    for number in range(20):
        chores.add(lambda number=number: slow(number))
    mine = Chores(Settings(home=tmp_path))
    mine.start()
    assert begun.wait(10)
    mine.finish()
    assert done == list(range(20))
    assert not chores._actions
