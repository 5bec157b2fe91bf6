"""What the board is told of an attempt that was ended from outside."""

from __future__ import annotations

from dataclasses import replace

from simcelery.board.states import Cause, Outcome
from simcelery.board.values import EndedAttempt
from simcelery.describe.words import size
from simcelery.worker.slots.layout import Order


def ended_by(order: Order, *, retry_in: float | None = None, processes: int = 0) -> EndedAttempt:
    """The report of an attempt that was ended by this order.

    Parameters:
        retry_in: for a time limit, seconds until the next attempt; None: there is none.
        processes: how many processes that the attempt had started were ended with it.
    """
    if order is Order.CANCEL:
        started = (
            f"; {processes} process{'es' if processes > 1 else ''} that it had started" if processes else ""
        )
        return EndedAttempt(
            outcome=Outcome.CANCELLED, cause=Cause.CANCELLED, error_message=f"ended by the cancel{started}"
        )
    if order is Order.TIME_LIMIT:
        return EndedAttempt(
            outcome=Outcome.FAILED,
            cause=Cause.TIME_LIMIT,
            error_type="TimeLimitError",
            error_message="it ran longer than its time limit and was killed",
            retry_in=retry_in,
        )
    if order is Order.WALLTIME:
        return EndedAttempt(
            outcome=Outcome.LOST,
            cause=Cause.WALLTIME,
            error_type="LostWorkerError",
            error_message="the allocation ended while it ran",
        )
    if order is Order.GIVEN_UP:
        return EndedAttempt(
            outcome=Outcome.RELEASED,
            cause=Cause.WORKER_LOST,
            error_message="ended, because the job no longer belonged to this attempt",
        )
    return EndedAttempt(outcome=Outcome.RELEASED, cause=Cause.SHUTDOWN)


def out_of_memory(used: int, asked: int, *, retry_in: float | None = None) -> EndedAttempt:
    """The report of an attempt that was ended for what its processes used, in bytes.

    Parameters:
        retry_in: seconds until the next attempt; None: there is none.
    """
    return EndedAttempt(
        outcome=Outcome.FAILED,
        cause=Cause.OUT_OF_MEMORY,
        error_type="OutOfMemoryError",
        error_message=f"its processes used {size(used)} of memory together, more than the {size(asked)} that "
        "it asked for, and were ended: ask for more (memory=…, --memory)",
        retry_in=retry_in,
    )


def lost_to_node(failed: EndedAttempt, lacks: str) -> EndedAttempt:
    """The report of an attempt that failed because its node could not write files: it counts as a loss."""
    error = ": ".join(filter(None, (failed.error_type, failed.error_message)))
    return replace(
        failed,
        outcome=Outcome.LOST,
        cause=Cause.WORKER_LOST,
        error_type="LostWorkerError",
        error_message=f"its node could not write files ({lacks}), and it ended with {error}",
        retry_in=None,
    )


def lost(message: str, *, out_of_memory: bool, used: int = 0) -> EndedAttempt:
    """The report of an attempt whose pool child died.

    Parameters:
        used: bytes that its processes used together when they were last measured; 0: they were not.
    """
    if out_of_memory:
        seen = f" (its processes last used {size(used)})" if used else ""
        message = (
            f"the kernel killed it because memory ran out{seen}: give its worker fewer slots or more memory"
        )
    return EndedAttempt(
        outcome=Outcome.LOST,
        cause=Cause.OUT_OF_MEMORY if out_of_memory else Cause.WORKER_LOST,
        error_type="LostWorkerError",
        error_message=message,
    )
