"""Settle: mark the descendants of a job that did not succeed, since they will not run."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from simcelery.board import transitions
from simcelery.board.batches import batches
from simcelery.board.transitions.settle import Settled
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Walk down level by level, a thousand rows a transaction; how many jobs failed upstream.

    A job that was left blocked although all its parents succeeded is sent on its way: the finish of a job
    with very many dependents unblocks the first of them only.

    Raises:
        BoardUnreachableError: the walk is cut short; the next one goes on.
        BrokerUnreachableError: what was repaired waits for republish.
    """
    steps = batches(partial(_level, effects), LONGEST_ACT, more=attrgetter("more"))
    return sum(len(step.failed) for step in steps)


def _level(effects: Effects, rows: int) -> Settled:
    with effects.begin() as connection:
        step = transitions.settle(connection, rows)
    effects.publish(step.ready)
    return step


ACT = Act(
    name="settle",
    every=2.0,
    tick=tick,
    counts=("failed_upstream",),
    does="marks the descendants of jobs that did not succeed as `upstream_failed`",
    told="{jobs} whose parents did not succeed",
)
