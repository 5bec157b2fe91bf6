"""Stage: scheduled jobs whose time has come become pending."""

from __future__ import annotations

from simcelery import broker
from simcelery.board import engine, transitions

_ROWS = 1000


def tick() -> int:
    """Stage what is due, and publish it as far as the window goes; how many were staged.

    Raises:
        BoardUnreachableError: nothing more is staged.
        BrokerUnreachableError: what was staged waits for republish.
    """
    total = 0
    while True:
        with engine.begin() as connection:
            due = transitions.stage(connection, _ROWS)
        broker.publish(due)
        total += len(due)
        if len(due) < _ROWS:
            return total
