"""All acts of recovery, in an order in which each may make work for the next.

The loop, ``simcelery recover``, ``doctor`` and the documentation use this list. A new act is a module and
a line here: the first worker that knows it creates its row on the board.
"""

from __future__ import annotations

from simcelery.maintenance import admit, fire, hold, learn, notify, prune, republish, rescue, settle, stage
from simcelery.maintenance.act import Act

ACTS: tuple[Act, ...] = (
    rescue.ACT,
    fire.ACT,
    stage.ACT,
    settle.ACT,
    hold.ACT,
    admit.ACT,
    learn.ACT,
    prune.ACT,
    notify.ACT,
    republish.ACT,
)
