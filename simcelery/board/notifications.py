"""Notifications: what is to be sent, and what became of it.

At least once: one is taken for a while, sent, and then marked. If its sender dies in between, another takes
it again, and its receiver knows it by its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board.leases import is_live
from simcelery.board.models import Notification, Subscription, Worker
from simcelery.board.sql_helpers import seconds, seconds_between

# Seconds: whoever has taken one has sent it by then, or is dead.
HELD = 20.0
# Pauses between two tries double from the first on, to two minutes, or later to an eighth of the time since
# the event, so that who was away is told soon after; after a day nobody tries any more.
FIRST_PAUSE, SHORT, LONGEST_PAUSE, GIVE_UP_AFTER = 5.0, 120.0, 3600.0, 86_400.0
# Seconds for which later events wait for an earlier one: it may be the only one that is refused.
IN_ORDER = 3600.0
# More are not counted.
_MOST_TRIES = 1_000_000
# A worker without a way out leaves it to the others for so long: by then each of them has tried.
_OTHERS_FIRST = 60.0


def add(
    connection: Connection, notification_id: uuid.UUID, subscription: int, event: str, body: Mapping[str, Any]
) -> None:
    """Record one; it is to be sent at once."""
    values = {"id": notification_id, "subscription_id": subscription, "event": event, "body": dict(body)}
    connection.execute(insert(Notification).values(values))


@dataclass(frozen=True)
class Due:
    """How many are to be sent now: by this worker, and by others, where it has no way out."""

    mine: int
    others: int


def due(connection: Connection, me: int) -> Due:
    """How many are to be sent now."""
    row = connection.execute(_counting(me)).one()
    return Due(row[0], row[1] - row[0])


@lru_cache(maxsize=16)  # every worker asks it again and again
def _counting(me: int) -> Select[int, int]:
    return select(func.count().filter(_is_mine(me)), func.count()).where(*_is_due())


@dataclass(frozen=True)
class Taken:
    """One that is to be sent by whoever has taken it."""

    id: uuid.UUID
    address: str
    body: dict[str, Any]


def take(connection: Connection, me: int, most: int) -> list[Taken]:
    """Take those that are due; for a while nobody else does."""
    chosen = (
        select(Notification.id)
        .where(*_is_due(), _is_mine(me))
        .order_by(Notification.next_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(Notification)
        .where(Notification.id.in_(select(chosen.c.id)), Notification.subscription_id == Subscription.id)
        .values(
            next_at=func.now() + seconds(HELD),
            tries=func.least(func.greatest(Notification.tries, 0), _MOST_TRIES) + 1,
        )
        .returning(Notification.id, Subscription.address, Notification.body)
    )
    return [Taken(*row) for row in rows]


def mark_sent(connection: Connection, notification_id: uuid.UUID) -> None:
    """Its receiver has it."""
    connection.execute(
        update(Notification).where(Notification.id == notification_id).values(sent_at=func.now(), error=None)
    )


def mark_refused(connection: Connection, notification_id: uuid.UUID, error: str) -> None:
    """Its receiver did not take it: it is tried again after a growing pause, and given up after a day."""
    doubled = func.power(2.0, func.least(Notification.tries - 1, 20))
    age = seconds_between(Notification.created_at, func.now())
    pause = func.least(literal(FIRST_PAUSE) * doubled, func.greatest(SHORT, age / 8), LONGEST_PAUSE)
    gives_up = Notification.created_at < func.now() - seconds(GIVE_UP_AFTER)
    connection.execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.sent_at.is_(None))
        .values(
            error=error,
            next_at=func.now() + seconds(pause),
            given_up_at=case((gives_up, func.now())),
            no_way_out=[],
        )
    )


def mark_no_way_out(connection: Connection, notification_id: uuid.UUID, me: int, error: str) -> None:
    """This worker cannot reach its receiver: the others try at once; if none can, it counts as refused."""
    tried = connection.scalar(select(Notification.no_way_out).where(Notification.id == notification_id)) or []
    others = connection.scalar(
        select(func.count()).select_from(Worker).where(is_live(), Worker.id.not_in([*tried, me]))
    )
    if not others:
        mark_refused(connection, notification_id, error)
        return
    connection.execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.sent_at.is_(None))
        .values(
            error=error,
            next_at=func.now(),
            tries=func.greatest(Notification.tries, 1) - 1,
            no_way_out=func.array_append(Notification.no_way_out, me),
        )
    )


def _is_due() -> tuple[Any, ...]:
    return (
        Notification.sent_at.is_(None),
        Notification.given_up_at.is_(None),
        Notification.next_at <= func.now(),
        ~_overtakes(),
    )


def _overtakes() -> Any:
    """Whether an earlier event of the subscription has yet to arrive; done is the last of its moment."""
    earlier = Notification.__table__.alias().c
    return (
        select(earlier.id)
        .where(
            earlier.subscription_id == Notification.subscription_id,
            earlier.sent_at.is_(None),
            earlier.given_up_at.is_(None),
            earlier.created_at > func.now() - seconds(IN_ORDER),
            or_(
                earlier.created_at < Notification.created_at,
                and_(
                    earlier.created_at == Notification.created_at,
                    earlier.event != "done",
                    Notification.event == "done",
                ),
            ),
        )
        .correlate(Notification.__table__)
        .exists()
    )


def _is_mine(me: int) -> Any:
    left_long = Notification.next_at <= func.now() - seconds(_OTHERS_FIRST)
    has_tried = Notification.no_way_out.contains(literal([me], ARRAY(BigInteger)))
    return or_(~has_tried, left_long)
