"""What is recorded of an attempt that was ended from outside."""

from __future__ import annotations

from dataclasses import replace

from simcelery.board.states import Cause, Ending
from simcelery.board.transitions.finish import Report
from simcelery.worker.slots.layout import Order


def ended_by(order: Order, *, retry_in: float | None = None, processes: int = 0) -> Report:
    """The report of an attempt that ended by this order.

    Parameters:
        retry_in: for a time limit, seconds until the next attempt; None: it is final.
        processes: how many processes that the attempt had started were ended with it.
    """
    if order is Order.CANCEL:
        started = (
            f"; {processes} process{'es' if processes > 1 else ''} that it had started" if processes else ""
        )
        return Report(
            ending=Ending.CANCELLED, cause=Cause.CANCELLED, error_message=f"ended by the cancel{started}"
        )
    if order is Order.TIME_LIMIT:
        return Report(
            ending=Ending.FAILED,
            cause=Cause.TIME_LIMIT,
            error_type="TimeLimitError",
            error_message="it ran longer than its time limit and was killed",
            retry_in=retry_in,
        )
    if order is Order.WALLTIME:
        return Report(
            ending=Ending.LOST,
            cause=Cause.WALLTIME,
            error_type="LostWorkerError",
            error_message="the allocation ended while it ran",
        )
    if order is Order.GIVEN_UP:
        return Report(
            ending=Ending.RELEASED,
            cause=Cause.WORKER_LOST,
            error_message="ended here, because the job was no longer this attempt's",
        )
    return Report(ending=Ending.RELEASED, cause=Cause.SHUTDOWN)


def lost_to_node(failed: Report, lacks: str) -> Report:
    """The report of an attempt that failed on a node that takes no files: as a loss, which is tried again."""
    error = ": ".join(filter(None, (failed.error_type, failed.error_message)))
    return replace(
        failed,
        ending=Ending.LOST,
        cause=Cause.WORKER_LOST,
        error_type="LostWorkerError",
        error_message=f"its node takes no files ({lacks}), and it ended with {error}",
        retry_in=None,
    )


def lost(message: str, *, out_of_memory: bool) -> Report:
    """The report of an attempt whose pool child died."""
    if out_of_memory:
        message = "the kernel killed it for want of memory: give its worker fewer slots or more memory"
    return Report(
        ending=Ending.LOST,
        cause=Cause.OUT_OF_MEMORY if out_of_memory else Cause.WORKER_LOST,
        error_type="LostWorkerError",
        error_message=message,
    )
