"""What a job leaves open, while other threads of its process open and close files of their own."""

from __future__ import annotations

import os
from collections.abc import Callable

from simcelery.execution.descriptors import Descriptors
from simcelery.worker.child import connections


def after_a_long_job(is_ours: Callable[[int], bool]) -> tuple[Descriptors, int]:
    """Those of this process, of which a new one has been opened since the job began."""
    known = Descriptors(is_ours)
    known.begin()
    known._begun = float("-inf")
    opened = os.open(os.devnull, os.O_RDONLY)
    known.end()
    return known, opened


def test_what_is_open_is_named() -> None:
    known, opened = after_a_long_job(connections.is_ours)
    assert known.left() == [f"open: {os.devnull}"]
    os.close(opened)


def test_what_is_closed_while_it_is_looked_at_was_not_left() -> None:
    def closed_first(descriptor: int) -> bool:
        os.close(descriptor)
        return connections.is_ours(descriptor)

    known, opened = after_a_long_job(closed_first)
    assert known.left() == []
    # The number is another one's now: nobody may take it for known.
    known._is_ours = connections.is_ours
    assert os.open(os.devnull, os.O_RDONLY) == opened
    assert known.left() == [f"open: {os.devnull}"]
    os.close(opened)
