"""The means by which an act of recovery has effects: transactions and messages. A dry run replaces them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from simcelery import broker
from simcelery.board import engine
from simcelery.board.values import JobToPublish
from simcelery.maintenance import courier, discard


def _deliver_nothing(me: int) -> int:
    return 0


def _discard_nothing() -> None:
    """Leave all files where they are."""


@dataclass(frozen=True)
class Effects:
    """How to open a transaction, publish what has just become pending, and send messages.

    Attributes:
        publish: sends messages as far as the window has room.
        send: sends all messages, and marks them on the board.
        deliver: sends notifications that are due, as this worker, and returns how many.
        discard: deletes stored files that are nobody's.
        judge: the id of the worker that judges whether others are lost; None: recovery by hand.
    """

    begin: Callable[[], AbstractContextManager[Any]]
    publish: Callable[[Iterable[JobToPublish]], object]
    send: Callable[[Sequence[JobToPublish]], object]
    deliver: Callable[[int], int] = _deliver_nothing
    judge: int | None = None
    discard: Callable[[], object] = _discard_nothing


def _leave(jobs: Iterable[JobToPublish]) -> None:
    """Send nothing."""


# In a worker: what becomes pending is published at once.
USUAL = Effects(engine.begin, broker.publish, broker.send_and_mark, courier.start, discard=discard.start)
# By hand: republish, at the end of the round, sends it all.
BY_HAND = Effects(engine.begin, _leave, broker.send_and_mark, courier.run, discard=discard.run)


@contextmanager
def rehearsal() -> Iterator[Effects]:
    """Do everything in one transaction, which is rolled back; send nothing."""
    with engine.begin() as connection:
        yield Effects(lambda: nullcontext(connection), _leave, _leave)
        connection.rollback()
