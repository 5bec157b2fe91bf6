"""Notify: notice what subscribers want to be told, record it on the board, and have it sent."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from functools import partial

from simcelery.board import notifications, subscriptions
from simcelery.failpoints import failpoint
from simcelery.maintenance import LONGEST_ACT
from simcelery.maintenance.act import Act
from simcelery.maintenance.despite import despite
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.maintenance.events import EVENTS, Event, Look, sentence
from simcelery.settings import get_settings


def tick(effects: Effects = USUAL) -> tuple[int, int]:
    """Notice and record events, then send what is due; return how many were recorded and sent.

    In a worker they are sent by a process of their own, which nothing waits for: none counts as sent then.

    Raises:
        BoardUnreachableError: the rest is noticed and sent later.
    """
    until = time.monotonic() + LONGEST_ACT
    with effects.begin() as connection:
        numbers = subscriptions.to_look_at(connection)
    recorded = 0
    for number in numbers:
        recorded += despite(f"subscription {number}", partial(_notice, effects, number))
        if time.monotonic() > until:
            break
    return recorded, effects.deliver(effects.judge or 0)


def _notice(effects: Effects, number: int) -> int:
    """Record what has happened to a subscription since the last look; return how much."""
    with effects.begin() as connection:
        row = subscriptions.hold(connection, number)
        if row is None:
            return 0
        look = Look(connection, row, subscriptions.first_unfinished(connection, number, row.unfinished or 0))
        recorded = sum(_record(look, event) for event in EVENTS)
        _note_look(look)
        failpoint("notify_noticed")
    failpoint("notify_recorded")
    return recorded


def _record(look: Look, event: Event) -> int:
    """Record that an event has happened, if it has; what nobody wants to be told is only noted."""
    wanted = event.name in look.row.events
    if getattr(look.row, event.noted) is not None or not (wanted or event.name == "done"):
        return 0
    found = event.told(look)
    if found is None:
        return 0
    subscriptions.note(look.connection, look.row.id, **{event.noted: look.row.now})
    if not wanted:
        return 0
    what, more = found
    number = uuid.uuid4()
    body = {
        "id": str(number),
        "event": event.name,
        "text": sentence(look, what),
        "subscription": look.row.id,
        "workflow": look.row.workflow,
        "tags": look.tags,
        "jobs": sum(look.states.numbers.values()),
        "states": look.states.numbers,
        "at": look.row.now.astimezone(dt.UTC).isoformat(),
        **more,
    }
    notifications.add(look.connection, number, look.row.id, event.name, body)
    return 1


def _note_look(look: Look) -> None:
    """Where the next look begins; and when it is asked again whether anything still happens."""
    values = {"unfinished": look.unfinished}
    for event in EVENTS:
        if getattr(look.row, event.noted) is not None and event.passed(look):
            values[event.noted] = None
    if look.row.may_be_stalled:
        values["look_at"] = look.row.now + dt.timedelta(seconds=get_settings().stalled_after / 4)
    subscriptions.note(look.connection, look.row.id, **values)


ACT = Act(
    name="notify",
    every=2.0,
    tick=tick,
    counts=("noticed", "notified"),
    does="tells subscribers what has happened to their jobs",
    told="{noticed:,} events noticed, {notified:,} notifications sent",
)
