"""Hold: what waits at a closed gate is held, and what an open one has held is released."""

from __future__ import annotations

import time
from functools import partial
from operator import attrgetter

from simcelery.board import transitions
from simcelery.board.batches import batches
from simcelery.board.transitions import LetGo
from simcelery.failpoints import failpoint
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.despite import despite
from simcelery.maintenance.effects import USUAL, Effects


def tick(effects: Effects = USUAL) -> tuple[int, int]:
    """Open the gates whose canaries have succeeded; return how many jobs were held, and how many released.

    The finish that makes a fuse blow closes its gate, and from then on no claim is given what waits there.
    So it does not matter how long it takes until all of these are blocked, or pending again.

    Raises:
        BoardUnreachableError: the rest is moved later.
        BrokerUnreachableError: released jobs wait for republish.
    """
    until = time.monotonic() + LONGEST_ACT
    with effects.begin() as connection:
        due = transitions.gates_due(connection)
    held = released = 0
    for gate, what in due:
        left = until - time.monotonic()
        if what == "hold":
            held += despite(f"gate {gate}", partial(_hold_all, effects, gate, left))
        else:
            released += despite(f"gate {gate}", partial(_release, effects, gate, what, left))
    return held, released


def _hold_all(effects: Effects, gate: int, longest: float) -> int:
    return sum(batches(partial(_hold, effects, gate), longest))


def _release(effects: Effects, gate: int, what: str, longest: float) -> int:
    if what == "open" and not _open(effects, gate):
        return 0
    steps = batches(partial(_let_go, effects, gate), longest, more=attrgetter("moved"))
    return sum(step.moved for step in steps)


def _open(effects: Effects, gate: int) -> bool:
    with effects.begin() as connection:
        failpoint("before_gate_opens")
        opened = transitions.open_gate(connection, gate)
        failpoint("before_gate_commit")
    failpoint("after_gate_opened")
    return opened


def _hold(effects: Effects, gate: int, rows: int) -> int:
    failpoint("before_hold")
    with effects.begin() as connection:
        held = transitions.hold(connection, gate, rows)
        failpoint("before_hold_commit")
    failpoint("after_hold")
    return held


def _let_go(effects: Effects, gate: int, rows: int) -> LetGo:
    step = transitions.let_go_at_once(effects.begin, gate, rows)
    effects.publish(step.pending)
    return step


ACT = Act(
    name="hold",
    every=1.0,
    tick=tick,
    counts=("held", "released"),
    does="holds what has not begun of a sweep whose fuse has blown, and releases it when its gate opens",
    told="{jobs} held by a fuse, and {released} released",
)
