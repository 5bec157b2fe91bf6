"""Whether board and worker agree: what an attempt is told, and which jobs nobody runs."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from simcelery.board.states import State
from simcelery.board.values import Account
from simcelery.worker.parent.accounts import Accounts, order_for
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.reading import Running

ME = 1
CLAIM, TASK = uuid.uuid4(), uuid.uuid4()
RUNNING = Running.gone(pid=10, claim_id=CLAIM, task_id=TASK, job_id=7, attempt=1)
ROW = Account(
    id=7,
    task_id=TASK,
    claim_id=CLAIM,
    attempt=1,
    state=State.RUNNING,
    pid=10,
    worker_id=ME,
    cancel_requested=False,
)


@pytest.mark.parametrize(
    ("row", "order"),
    [
        (ROW, Order.NONE),
        (replace(ROW, cancel_requested=True), Order.CANCEL),
        (replace(ROW, claim_id=uuid.uuid4()), Order.GIVEN_UP),
        (replace(ROW, claim_id=uuid.uuid4(), cancel_requested=True), Order.GIVEN_UP),
        (replace(ROW, state=State.CANCELLED), Order.GIVEN_UP),
        # Given up, and not claimed again: whoever finishes first counts.
        (replace(ROW, state=State.PENDING), Order.NONE),
        (None, Order.GIVEN_UP),
    ],
)
def test_an_attempt_is_told_what_the_board_wants(row: Account | None, order: Order) -> None:
    assert order_for(RUNNING, row) is order
    assert order_for(replace(RUNNING, phase=Phase.STARTING), row) is order
    for phase in (Phase.CLAIMING, Phase.FINISHING):  # it has none yet, or its outcome is known
        assert order_for(replace(RUNNING, phase=phase), row) is Order.NONE


def test_only_what_is_missing_twice_in_a_row_is_certain() -> None:
    accounts, other = Accounts(ME), replace(ROW, id=8, claim_id=uuid.uuid4())
    assert accounts.missing([ROW], here=[], holders=[]) == []
    assert accounts.missing([ROW, other], here=[], holders=[]) == [ROW]
    assert accounts.missing([other], here=[other.claim_id], holders=[]) == []
    assert accounts.missing([ROW, other], here=[], holders=[]) == []
    assert accounts.missing([ROW, other], here=[], holders=[]) == [ROW, other]


@pytest.mark.parametrize(
    ("row", "here", "holders"),
    [
        (ROW, [CLAIM], []),
        (ROW, [], [10]),
        (replace(ROW, worker_id=2), [], []),
        (replace(ROW, state=State.PENDING), [], []),
    ],
    ids=["it runs here", "its child holds a slice", "another worker's", "it does not run"],
)
def test_what_is_accounted_for_is_never_missing(
    row: Account, here: list[uuid.UUID], holders: list[int]
) -> None:
    accounts = Accounts(ME)
    assert [accounts.missing([row], here, holders) for _ in range(3)] == [[], [], []]
