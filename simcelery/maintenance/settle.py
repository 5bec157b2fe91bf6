"""Settle: the descendants of a job that did not succeed will not run."""

from __future__ import annotations

import time

from simcelery.board import children
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> int:
    """Walk down level by level, a thousand rows a transaction; how many jobs failed upstream.

    A job that was left blocked although all its parents succeeded is sent on its way: the finish of a job
    with very many children unblocks the first of them only.

    Raises:
        BoardUnreachableError: the walk is cut short; the next one goes on.
        BrokerUnreachableError: what was repaired waits for republish.
    """
    total = 0
    deadline = time.monotonic() + LONGEST_ACT
    more = True
    while more and time.monotonic() < deadline:
        with effects.begin() as connection:
            step = children.settle(connection)
        effects.publish(step.ready)
        total += len(step.failed)
        more = step.more
    return total


ACT = Act(
    name="settle",
    every=2.0,
    tick=tick,
    counts=("failed_upstream",),
    does="marks the descendants of jobs that did not succeed",
    told="{jobs} whose parents did not succeed",
)
