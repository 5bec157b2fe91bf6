"""Learn: note how long the jobs of each workflow take, so that workers begin only what they can finish."""

from __future__ import annotations

from simcelery.board import durations
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Look at the last successes of the workflows that have new ones; return how many workflows these are."""
    with effects.begin() as connection:
        return durations.learn(connection)


ACT = Act(
    name="learn",
    every=5.0,
    tick=tick,
    counts=("learned",),
    does="notes how long the last successes of each workflow took",
    told="{learned:,} workflows looked at",
)
