"""All acts of recovery, in the order in which one makes work for the next.

The loop, ``simcelery recover``, ``doctor`` and the documentation know them from here. A new act is a file
and a line: its row on the board is made by the first worker that knows it.
"""

from __future__ import annotations

from simcelery.maintenance import prune, republish, rescue, settle, stage
from simcelery.maintenance.act import Act

ACTS: tuple[Act, ...] = (rescue.ACT, stage.ACT, settle.ACT, prune.ACT, republish.ACT)
