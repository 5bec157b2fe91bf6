"""Settle: the descendants of a job that did not succeed will not run."""

from __future__ import annotations

import time

from simcelery.board import children
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.means import USUAL, Means


def tick(means: Means = USUAL) -> int:
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
        with means.begin() as connection:
            step = children.settle(connection)
        means.publish(step.ready)
        total += len(step.failed)
        more = step.more
    return total
