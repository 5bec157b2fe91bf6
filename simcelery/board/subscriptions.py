"""Subscriptions: who wants to be told what about the jobs of a submission.

They are recorded in the same transaction as the jobs, and looked at one at a time while they are locked, so
that each event is noticed once. A retry sets a subscription going again, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, cast, delete, func, insert, null, select, true, update
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

from simcelery.board import sql
from simcelery.board.models import Notification, Subscription
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.unreadable import bad_rows
from simcelery.quantities import spans

# A client that has recorded nothing more for so long (seconds) has died halfway.
LONGEST_GAP = 300.0


@dataclass(frozen=True)
class NewSubscription:
    """What is to be recorded with the jobs of a submission."""

    address: str
    events: tuple[str, ...]
    workflow: str
    tags: tuple[str, ...]
    submitted_by: str


def add(
    connection: Connection, new: NewSubscription, jobs: Sequence[int], stalled_after: float, *, more: bool
) -> int:
    """Record a subscription to these jobs; return its id.

    Parameters:
        more: whether more jobs may follow; see `extend` and `close`.
    """
    values = {
        "address": new.address,
        "events": list(new.events),
        "workflow": new.workflow,
        "tags": list(new.tags),
        "jobs": _multirange(jobs),
        "submitted_by": new.submitted_by,
        "open_until": _gap(more),
        "look_at": func.now() + seconds(stalled_after),
    }
    return connection.execute(insert(Subscription).values(values).returning(Subscription.id)).scalar_one()


def extend(connection: Connection, number: int, jobs: Sequence[int], *, more: bool) -> None:
    """Add jobs to it; they may be there already. If all before them had ended, it begins anew."""
    joined = Subscription.jobs.op("+")(_multirange(jobs))
    connection.execute(
        update(Subscription).where(Subscription.id == number).values(jobs=joined, open_until=_gap(more))
    )
    _begin_anew(connection, [number])


def close(connection: Connection, number: int) -> None:
    """No more jobs follow."""
    connection.execute(update(Subscription).where(Subscription.id == number).values(open_until=None))


def reopen(connection: Connection, jobs: Sequence[int]) -> None:
    """Jobs were set going again: what was noticed of them begins anew."""
    if not jobs or not connection.scalar(select(select(Subscription.id).exists())):
        return
    # In one order for all; whoever looks at one just now is waited for, and seen.
    theirs = Subscription.jobs.op("&&")(_multirange(jobs))
    held = select(Subscription.id).where(theirs).order_by(Subscription.id).with_for_update()
    _begin_anew(connection, list(connection.scalars(held)))


def _begin_anew(connection: Connection, numbers: Sequence[int]) -> None:
    """Those of them that are done have something to wait for again."""
    done = among(Subscription.id, numbers), Subscription.done_at.is_not(None)
    again = dict.fromkeys(("done_at", "failed_at", "held_at", "stalled_at", "unfinished"))
    connection.execute(update(Subscription).where(*done).values(**again, since=func.now()))


def to_look_at(connection: Connection) -> list[int]:
    """Those of which something may have happened."""
    return list(sql.execute(connection, "subscriptions_to_look_at").scalars())


def hold(connection: Connection, number: int) -> Any:
    """Lock one that is not done; None if somebody else looks at it, or has just done so."""
    columns = [column for column in Subscription.__table__.columns if column.name != "jobs"]
    return connection.execute(
        select(
            *columns,
            func.now().label("now"),
            func.coalesce(Subscription.open_until > func.now(), False).label("is_open"),
            (Subscription.look_at <= func.now()).label("may_be_stalled"),
        )
        .where(Subscription.id == number, Subscription.done_at.is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()


def first_unfinished(connection: Connection, number: int, start: int = 0) -> int | None:
    """A job of it that has not ended, if possible one from this id on."""
    found: int | None = sql.execute(connection, "first_unfinished", subscription=number, start=start).scalar()
    return found if found is not None or not start else first_unfinished(connection, number)


def first_failure(connection: Connection, number: int) -> Row[Any] | None:
    """A job of it that has failed since it was set going: ``id``, ``error_type``, ``error_message``."""
    found: Row[Any] | None = sql.execute(connection, "first_failure", subscription=number).first()
    return found


def held_job(connection: Connection, number: int) -> int | None:
    """A job of it that a fuse or a canary that did not succeed holds."""
    found: int | None = sql.execute(connection, "held_job", subscription=number).scalar()
    return found


@dataclass(frozen=True)
class States:
    """The number of jobs in each state, and for how many seconds nothing has happened."""

    numbers: dict[str, int]
    quiet: float


def states(connection: Connection, number: int) -> States:
    """How its jobs stand."""
    rows = sql.execute(connection, "states_of_subscription", subscription=number).all()
    return States({row.state: row.number for row in rows}, min((row.quiet for row in rows), default=0.0))


def ids(connection: Connection, number: int) -> list[tuple[int, int]]:
    """The ids of its jobs as pairs, the first and the last of each range."""
    mine = select(Subscription.jobs).where(Subscription.id == number).scalar_subquery()
    part = func.unnest(mine).column_valued("part")
    bounded = ~func.lower_inf(part) & ~func.upper_inf(part)
    rows = connection.execute(select(func.lower(part), func.upper(part) - 1).where(bounded))
    return [(first, last) for first, last in rows]


def note(connection: Connection, number: int, **values: Any) -> None:
    """Set columns of one that is held."""
    connection.execute(update(Subscription).where(Subscription.id == number).values(**values))


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All of them, newest first, with the last `Notification` of each: ``event``, ``tries``, ``error``, …"""
    last = (
        select(Notification.event, Notification.tries, Notification.error)
        .add_columns(Notification.sent_at, Notification.given_up_at, Notification.created_at)
        .where(Notification.subscription_id == Subscription.id)
        .order_by(Notification.created_at.desc())
        .limit(1)
        .lateral("last")
    )
    columns = [column for column in Subscription.__table__.columns if column.name != "jobs"]
    rows = connection.execute(select(*columns, last).outerjoin(last, true()).order_by(Subscription.id.desc()))
    return [
        {**row._mapping, "tags": bad_rows.words(row.tags), "events": bad_rows.words(row.events)}
        for row in rows
    ]


def told(connection: Connection, numbers: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """Of each subscription the newest `Notification` of each event, oldest first: as those of `listed`."""
    rows = connection.execute(
        select(Notification.subscription_id, Notification.event, Notification.tries, Notification.error)
        .add_columns(Notification.sent_at, Notification.given_up_at, Notification.created_at)
        .where(among(Notification.subscription_id, numbers))
        .order_by(Notification.created_at, Notification.event == "done")
    )
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in rows:
        newest = found.setdefault(row.subscription_id, {})
        newest.pop(row.event, None)  # so that the order is that of the newest ones
        newest[row.event] = dict(row._mapping)
    return {number: list(newest.values()) for number, newest in found.items()}


def remove(connection: Connection, numbers: Iterable[int]) -> list[int]:
    """Delete these, with what is still to be sent; return those that were there."""
    gone = delete(Subscription).where(among(Subscription.id, numbers)).returning(Subscription.id)
    return sorted(connection.scalars(gone))


def forget(connection: Connection, older_than: float, limit: int) -> int:
    """Delete those whose jobs all ended more than `older_than` seconds ago; return how many."""
    old = (
        select(Subscription.id)
        .where(Subscription.done_at < func.now() - seconds(older_than))
        .order_by(Subscription.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return connection.execute(delete(Subscription).where(Subscription.id.in_(select(old.c.id)))).rowcount


def _gap(more: bool) -> Any:
    return func.now() + seconds(LONGEST_GAP) if more else null()


def _multirange(numbers: Sequence[int]) -> Any:
    text = ",".join(f"[{first},{last}]" for first, last in spans(sorted(set(numbers))))
    return cast(f"{{{text}}}", INT8MULTIRANGE)
