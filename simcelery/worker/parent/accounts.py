"""Whether the board and this worker agree on which jobs run here. Either may be the one that is behind."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from simcelery.board.states import State
from simcelery.board.values import Account
from simcelery.worker.slots.layout import Order, Phase
from simcelery.worker.slots.reading import Running


def order_for(running: Running, row: Account | None) -> Order:
    """What an attempt is to be told, by what the board says of its job; None: the board has no such job."""
    if running.phase not in (Phase.STARTING, Phase.RUNNING):
        return Order.NONE
    if row is None or row.claim_id != running.claim_id or row.state.is_terminal:
        return Order.GIVEN_UP
    return Order.CANCEL if row.cancel_requested else Order.NONE


class Accounts:
    """Finds jobs that the board says run here, and that nobody here runs.

    The answer of the board is a moment old: only what is missing at two renewals in a row is certain.
    """

    def __init__(self, worker_id: int) -> None:
        self._worker_id = worker_id
        self._suspects: frozenset[uuid.UUID] = frozenset()

    def missing(
        self, rows: Sequence[Account], here: Collection[uuid.UUID], holders: Collection[int]
    ) -> list[Account]:
        """The jobs that are missing now and were at the last call.

        Parameters:
            here: the claims of all attempts that run here, or whose end is on its way to the board.
            holders: the pids of pool children that may hold more than their slots tell of.
        """
        missing = [
            row
            for row in rows
            if row.state is State.RUNNING
            and row.worker_id == self._worker_id
            and row.claim_id not in here
            and row.pid not in holders
        ]
        certain = [row for row in missing if row.claim_id in self._suspects]
        self._suspects = frozenset(row.claim_id for row in missing)
        return certain
