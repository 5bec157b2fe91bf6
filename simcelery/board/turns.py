"""Whose turn it is: each act of recovery is done by one worker at a time, without a leader."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Double, Text, column, func, update, values

from simcelery.board.models import Recovery


def take_turns(connection: Connection, every: Mapping[str, float], by: str) -> set[str]:
    """Claim the next round of those acts that are due; the one after it is due so many seconds later.

    Commit before acting: the turn is a schedule, not a lock.

    Parameters:
        every: name of the act → seconds between its rounds.
    """
    acts = values(column("name", Text), column("every", Double), name="acts").data(list(every.items()))
    taken = connection.scalars(
        update(Recovery)
        .where(Recovery.name == acts.c.name, Recovery.next_at <= func.now())
        .values(next_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, acts.c.every), last_by=by)
        .returning(Recovery.name)
    )
    return set(taken)
