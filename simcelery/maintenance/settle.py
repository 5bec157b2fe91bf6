"""Settle: mark the descendants of a job that did not succeed, since they will not run."""

from __future__ import annotations

from operator import attrgetter

from simcelery.board import transitions
from simcelery.board.batches import batches
from simcelery.board.transitions.settle import Place, Settled
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Walk down level by level, a thousand rows per transaction; return how many became upstream_failed.

    A job that is still blocked although all its parents have succeeded becomes pending: the finish of a job
    with very many dependents unblocks only the first of them.

    Raises:
        BoardUnreachableError: the walk is cut short; the next one continues.
        BrokerUnreachableError: jobs that became pending wait for republish.
    """
    steps = batches(_Walk(effects).step, LONGEST_ACT, more=attrgetter("more"))
    return sum(len(step.failed) for step in steps)


class _Walk:
    """Step after step, each from where the one before came to."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._place: Place | None = None

    def step(self, rows: int) -> Settled:
        with self._effects.begin() as connection:
            done = transitions.settle(connection, rows, self._place)
        self._effects.publish(done.ready)
        self._place = done.place
        return done


ACT = Act(
    name="settle",
    every=2.0,
    tick=tick,
    counts=("failed_upstream",),
    does="marks the descendants of jobs that did not succeed as `upstream_failed`",
    told="{jobs} whose parents did not succeed",
)
