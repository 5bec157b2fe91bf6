"""Stage: scheduled jobs whose time has come become pending."""

from __future__ import annotations

import time

from simcelery import broker
from simcelery.board import engine, transitions
from simcelery.recovery import LONGEST_ACT

_ROWS = 1000


def tick() -> int:
    """Stage what is due, and publish it as far as the window goes; how many were staged.

    Raises:
        BoardUnreachableError: nothing more is staged.
        BrokerUnreachableError: what was staged waits for republish.
    """
    total = 0
    deadline = time.monotonic() + LONGEST_ACT
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            due = transitions.stage(connection, _ROWS)
        broker.publish(due)
        total += len(due)
        if len(due) < _ROWS:
            break
    return total
