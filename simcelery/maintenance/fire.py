"""Fire: record the jobs of schedules whose time has come."""

from __future__ import annotations

import logging
from functools import partial

from simcelery.board import schedules
from simcelery.failpoints import failpoint
from simcelery.maintenance.act import Act
from simcelery.maintenance.despite import despite
from simcelery.maintenance.effects import USUAL, Effects

log = logging.getLogger(__name__)


def tick(effects: Effects = USUAL) -> int:
    """Record and publish what is due, each schedule in a transaction of its own; return how many jobs.

    Raises:
        BoardUnreachableError: the rest is recorded later.
        BrokerUnreachableError: recorded jobs wait for republish.
    """
    with effects.begin() as connection:
        due = schedules.names_due(connection)
    return sum(despite(f"schedule {name}", partial(_fire, effects, name)) for name in due)


def _fire(effects: Effects, name: str) -> int:
    failpoint("before_fire")
    with effects.begin() as connection:
        fired = schedules.fire(connection, name)
        failpoint("before_fire_commit")
    failpoint("after_fire")
    if fired.left_out:
        log.warning(
            "schedule %s: %s times had been missed; no jobs are recorded for them", name, fired.left_out
        )
    effects.publish(fired.jobs)
    return len(fired.jobs)


ACT = Act(
    name="fire",
    every=1.0,
    tick=tick,
    counts=("fired",),
    does="records the jobs of schedules whose time has come",
    told="{jobs} of schedules",
)
