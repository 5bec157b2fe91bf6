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
    """Walk down level by level, a thousand rows per transaction; return how many became upstream_failed.

    A job that is still blocked although all its parents have succeeded becomes pending: the finish of a job
    with very many dependents unblocks only the first of them.

    Raises:
        BoardUnreachableError: the walk is cut short; the next one continues.
        BrokerUnreachableError: jobs that became pending wait for republish.
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
