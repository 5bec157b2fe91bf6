"""Whose turn it is: each act of recovery is done by one worker at a time, without a leader."""

from __future__ import annotations

from sqlalchemy import Connection, func, update

from simcelery.board.models import Recovery
from simcelery.board.seconds import seconds


def take_turn(connection: Connection, name: str, every: float, by: str) -> bool:
    """Claim the next round of an act; the one after it is due in `every` seconds.

    Commit before acting: the turn is a schedule, not a lock.
    """
    taken = connection.execute(
        update(Recovery)
        .where(Recovery.name == name, Recovery.next_at <= func.now())
        .values(next_at=func.now() + seconds(every), last_by=by)
    )
    return taken.rowcount == 1
