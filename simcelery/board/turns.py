"""Whose turn it is: each act of recovery is done by one worker at a time, without a leader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, update
from sqlalchemy.dialects.postgresql import insert

from simcelery.board import clock, engine, schema, sql
from simcelery.board.models import Recovery


class Taken(NamedTuple):
    """The acts whose turn was taken.

    Attributes:
        live: the number of live workers, counted no further than was asked for.
        set_back: whether Postgres's clock was set back, so that times on the board were in the future.
    """

    acts: frozenset[str]
    live: int
    set_back: bool = False


def add(connection: Connection, names: Iterable[str]) -> None:
    """Add acts that the board does not know yet; they are due now."""
    rows = [{"name": name} for name in sorted(names)]
    connection.execute(insert(Recovery).on_conflict_do_nothing(), rows)


def take_turns(every: Mapping[str, float], by: str, count_to: int = 0) -> Taken:
    """Claim the next round of the acts that are due; the one after it is due this many seconds later.

    It is a transaction of its own, in one round trip, since every worker asks again and again: the turn is a
    schedule, not a lock. A turn further in the future than its interval was written before Postgres's clock
    was set back: it is due, and the board's other times are corrected.

    Parameters:
        every: seconds between two rounds, by name of the act.
        count_to: how far live workers are counted.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    values = asked(every, by, count_to)
    [row] = engine.one_round_trip(sql.statement("take_turns"), values)
    if row["set_back"]:
        with engine.begin() as connection:
            row = sql.execute(connection, "take_turns", **values | {"corrects": True}).mappings().one()
            clock.set_right(connection)
    return Taken(acts=frozenset(row["acts"] or ()), live=row["live"], set_back=row["set_back"])


def asked(every: Mapping[str, float], by: str, count_to: int) -> dict[str, Any]:
    """The values of its statement."""
    return {
        "names": list(every),
        "intervals": list(every.values()),
        "by": by,
        "count_to": count_to,
        "margin": clock.MARGIN,
        "revision": schema.REVISION,
        "corrects": False,
    }


def give_back(connection: Connection, name: str) -> None:
    """Leave a turn that was taken to whoever asks next."""
    connection.execute(update(Recovery).where(Recovery.name == name).values(next_at=func.now()))
