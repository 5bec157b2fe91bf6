"""A worker takes no jobs as long as any reason holds, and the board tells of all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simcelery import settings
from simcelery.worker.parent import outbox
from simcelery.worker.parent.outbox import Outbox
from simcelery.worker.parent.withdrawal import Withdrawal
from simcelery.worker.slots.parent import Slots
from tests.board_helpers import registration, sql, worker

pytestmark = pytest.mark.usefixtures("board")


class Queues:
    """What a consumer is asked for."""

    consumed = True

    def leave_all_queues(self) -> None:
        assert self.consumed
        self.consumed = False

    def return_to_queues(self) -> None:
        assert not self.consumed
        self.consumed = True


@pytest.fixture
def nothing_waits() -> Iterator[None]:
    """An outbox belongs to the process: none is left behind."""
    yield
    Outbox(settings.get_settings()).round()
    assert outbox._waiting.first() is None


def told() -> tuple[bool, str | None]:
    """What the board says of the worker: whether it is withdrawn, and why."""
    Outbox(settings.get_settings()).round()
    [row] = sql("SELECT quarantined_at IS NOT NULL, note FROM workers")
    return tuple(row)


@pytest.mark.usefixtures("nothing_waits")
def test_a_worker_returns_when_the_last_reason_has_gone() -> None:
    slots, queues = Slots(None), Queues()
    withdrawal = Withdrawal(slots, settings.get_settings(), registration(worker()), lambda: queues)

    assert withdrawal.begin("node", "takes no jobs: /scratch is full")
    assert not withdrawal.begin("node", "takes no jobs: /scratch is full")
    assert (slots.closed, queues.consumed) == (True, False)
    assert told() == (True, "takes no jobs: /scratch is full")
    [(since,)] = sql("SELECT quarantined_at FROM workers")

    assert withdrawal.begin("quarantine", "in quarantine")
    assert not withdrawal.begin("node", "takes no jobs: /scratch is read-only")
    assert told() == (True, "takes no jobs: /scratch is read-only; in quarantine")

    assert withdrawal.end("node")
    assert not withdrawal.end("node")
    assert (slots.closed, queues.consumed) == (True, False)
    assert told() == (True, "in quarantine")
    assert sql("SELECT quarantined_at FROM workers") == [(since,)]

    assert withdrawal.end("quarantine")
    assert (slots.closed, queues.consumed) == (False, True)
    assert told() == (False, None)


@pytest.mark.usefixtures("nothing_waits")
def test_a_worker_that_ends_does_not_return() -> None:
    slots, queues = Slots(None), Queues()
    withdrawal = Withdrawal(slots, settings.get_settings(), registration(worker()), lambda: queues)
    withdrawal.begin("quarantine", "in quarantine")
    slots.drain()
    withdrawal.end("quarantine")
    assert slots.closed
    assert told() == (False, None)
