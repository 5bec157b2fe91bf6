"""Prune: delete jobs that finished longer ago than the setting ``retention``, and what only they needed."""

from __future__ import annotations

from simcelery.board import artifacts, retention
from simcelery.board.batches import ROWS, batches
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.settings import get_settings


def tick(effects: Effects = USUAL) -> int:
    """Delete what is old enough, oldest first; return how many jobs. Without ``retention``, delete no job.

    Stored files that are nobody's are deleted in any case.

    Raises:
        BoardUnreachableError: the rest is deleted later.
    """
    older_than = get_settings().retention
    total = 0 if older_than is None else _delete(effects, older_than)
    with effects.begin() as connection:
        while artifacts.settle(connection, ROWS) == ROWS:
            pass
        waiting = artifacts.nobodys(connection)
    if waiting:
        effects.discard()
    return total


def _delete(effects: Effects, older_than: float) -> int:

    def some(rows: int) -> int:
        with effects.begin() as connection:
            return retention.delete_finished(connection, older_than, rows)

    total = sum(batches(some, LONGEST_ACT))
    for forget in retention.FORGETS:
        with effects.begin() as connection:
            forget(connection, older_than, ROWS)
    return total


ACT = Act(
    name="prune",
    every=60.0,
    tick=tick,
    counts=("pruned",),
    does="deletes jobs that finished longer ago than the setting `retention`, if it is set",
    told="{jobs} that finished more than {retention} ago",
    needs="retention",
)
