"""Republish: send messages up to the window, and send lost messages again.

For each lane the board knows how many messages should be in Redis, and Redis knows how many there are.
Room in the window is filled with messages that were never sent. If Redis has fewer than expected, as many
are sent again, those that were sent longest ago first. A message that was popped and is just being claimed
also looks lost, so none is sent again before a delay, which doubles each time; a second message for a job
is harmless.
"""

from __future__ import annotations

from simcelery import broker
from simcelery.board import feed
from simcelery.board.values import JobToPublish, Lane
from simcelery.maintenance.act import Act
from simcelery.maintenance.effects import USUAL, Effects
from simcelery.settings import get_settings


def tick(effects: Effects = USUAL) -> tuple[int, int]:
    """Go through all lanes once, most urgent first; return how many messages were new and how many repeated.

    Raises:
        BoardUnreachableError, BrokerUnreachableError: the round is cut short.
    """
    window = get_settings().publish_window
    with effects.begin() as connection:
        lanes = feed.lanes(connection, window)  # which believes no lane to hold more than that
    if not lanes:
        return 0, 0
    fed = resent = 0
    lengths = broker.lengths([lane for lane, _, _ in lanes])
    for (lane, unpublished, believed), length in zip(lanes, lengths, strict=True):
        if length is None:
            continue
        at_most = feed.RESEND_AFTER_AT_MOST if length else feed.RESEND_AFTER_IF_EMPTY
        lost = _lost(effects, lane, believed - length, at_most)
        effects.send(lost)
        fresh = _fresh(effects, lane, unpublished, window - length - len(lost))
        effects.send(fresh)
        resent, fed = resent + len(lost), fed + len(fresh)
    return fed, resent


def _lost(effects: Effects, lane: Lane, number: int, at_most: float) -> list[JobToPublish]:
    if number <= 0:
        return []
    with effects.begin() as connection:
        return feed.overdue(connection, lane, number, at_most=at_most)


def _fresh(effects: Effects, lane: Lane, unpublished: int, room: int) -> list[JobToPublish]:
    if min(unpublished, room) <= 0:
        return []
    with effects.begin() as connection:
        return feed.unpublished(connection, lane, room)


ACT = Act(
    name="republish",
    every=1.0,
    tick=tick,
    counts=("fed", "sent_again"),
    does="sends the messages of pending jobs, up to `publish_window`, and again those that Redis lost",
    told="{fed:,} new messages, {sent_again:,} sent again",
)
