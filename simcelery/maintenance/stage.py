"""Stage: scheduled jobs whose time has come become pending."""

from __future__ import annotations

import time

from simcelery.board import transitions
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects

_ROWS = 1000


def tick(effects: Effects = USUAL) -> int:
    """Stage what is due, and publish it as far as the window goes; how many were staged.

    Raises:
        BoardUnreachableError: nothing more is staged.
        BrokerUnreachableError: what was staged waits for republish.
    """
    total = 0
    deadline = time.monotonic() + LONGEST_ACT
    while time.monotonic() < deadline:
        with effects.begin() as connection:
            due = transitions.stage(connection, _ROWS)
        effects.publish(due)
        total += len(due)
        if len(due) < _ROWS:
            break
    return total


ACT = Act(
    name="stage",
    every=1.0,
    tick=tick,
    counts=("staged",),
    does="makes scheduled jobs pending when their time has come",
    told="{jobs} whose time has come",
)
