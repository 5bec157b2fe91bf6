"""Stage: make scheduled jobs pending when their time has come."""

from __future__ import annotations

from functools import partial

from simcelery.board import transitions
from simcelery.board.batches import batches
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Stage the jobs that are due, and publish them as far as the window has room; return how many.

    Raises:
        BoardUnreachableError: nothing more is staged.
        BrokerUnreachableError: staged jobs wait for republish.
    """
    return sum(batches(partial(_some, effects), LONGEST_ACT))


def _some(effects: Effects, rows: int) -> int:
    with effects.begin() as connection:
        due = transitions.stage(connection, rows)
    effects.publish(due)
    return len(due)


ACT = Act(
    name="stage",
    every=1.0,
    tick=tick,
    counts=("staged",),
    does="makes scheduled jobs pending when their time has come",
    told="{jobs} whose time has come",
)
