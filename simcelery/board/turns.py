"""Whose turn it is: each act of recovery is done by one worker at a time, without a leader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Double,
    Select,
    Text,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from simcelery.board import clock, schema
from simcelery.board.leases import is_live
from simcelery.board.models import Recovery, Worker
from simcelery.board.sql_helpers import seconds


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


def take_turns(connection: Connection, every: Mapping[str, float], by: str, count_to: int = 0) -> Taken:
    """Claim the next round of the acts that are due; the one after it is due this many seconds later.

    Commit before acting: the turn is a schedule, not a lock. A turn further in the future than its interval
    was written before Postgres's clock was set back: it is due, and the board's other times are corrected.

    Parameters:
        every: seconds between two rounds, by name of the act.
        count_to: how far live workers are counted.
    """
    row = connection.execute(_taking(tuple(every.items()), by, count_to)).one()
    if row.set_back:
        clock.set_right(connection)
    return Taken(acts=frozenset(row.acts or ()), live=row.live, set_back=bool(row.set_back))


# A worker of the version before takes no turn on a board that was upgraded under it, from that moment on.
_FITS = literal_column(f"({schema.ASK})", Text) == schema.REVISION


@lru_cache(maxsize=64)
def _taking(every: tuple[tuple[str, float], ...], by: str, count_to: int) -> Select[*tuple[Any, ...]]:
    """The statement of `take_turns`. To put it together takes longer than to execute it."""
    acts = _acts(dict(every))
    ahead = clock.is_ahead(Recovery.next_at, acts.c.every)
    due = (
        update(Recovery)
        .where(Recovery.name == acts.c.name, or_(Recovery.next_at <= func.now(), ahead), _FITS)
        .values(next_at=func.now() + seconds(acts.c.every), last_by=by)
        .returning(Recovery.name)
        .cte("due")
    )
    # The newest first: what died without a word stays unended for long.
    live = select(Worker.id).where(is_live()).order_by(Worker.id.desc()).limit(count_to).subquery()
    number = select(func.count()).select_from(live).scalar_subquery()
    names = select(func.array_agg(due.c.name)).scalar_subquery()
    set_back = select(func.bool_or(ahead)).where(Recovery.name == acts.c.name).scalar_subquery()
    columns = names.label("acts"), number.label("live"), set_back.label("set_back")
    return select(*columns)


def give_back(connection: Connection, name: str) -> None:
    """Leave a turn that was taken to whoever asks next."""
    connection.execute(update(Recovery).where(Recovery.name == name).values(next_at=func.now()))


def _acts(every: Mapping[str, float]) -> Any:
    """The acts and their intervals as a table. Two arrays: SQLAlchemy would compile VALUES anew each time."""
    names, intervals = literal(list(every), ARRAY(Text)), literal(list(every.values()), ARRAY(Double))
    columns = column("name", Text), column("every", Double)
    return func.unnest(names, intervals).table_valued(*columns, name="acts").render_derived()
