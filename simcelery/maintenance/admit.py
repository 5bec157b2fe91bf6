"""Admit: make jobs pending that waited for a limit, as soon as it has room.

The finish of a job of a limit does the same. This finds the places of jobs that were rescued
together, and of limits that were raised or removed.
"""

from __future__ import annotations

from functools import partial

from simcelery.board import transitions
from simcelery.board.batches import batches
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Admit what there is room for, and publish it; return how many.

    Raises:
        BoardUnreachableError: nothing more is admitted.
        BrokerUnreachableError: admitted jobs wait for republish.
    """
    return sum(batches(partial(_some, effects), LONGEST_ACT, more=bool))


def _some(effects: Effects, rows: int) -> int:
    with effects.begin() as connection:
        admitted = transitions.admit(connection, rows)
    effects.publish(admitted)
    return len(admitted)


ACT = Act(
    name="admit",
    every=1.0,
    tick=tick,
    counts=("admitted",),
    does="makes jobs pending that waited for a limit which has room again",
    told="{jobs} for which a limit has room",
)
