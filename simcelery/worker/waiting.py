"""Wait while a service is unreachable: a message, a result or a slot is worth the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from simcelery.errors import SchemaError, ServiceError
from simcelery.pauses import growing
from simcelery.worker import slots

log = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE, _LOOK_EVERY = 0.1, 5.0, 0.25


def wait_out(
    action: Callable[[], T],
    waiting: str,
    tries: int | None = None,
    give_up: Callable[[], bool] = lambda: False,
) -> T:
    """The result of `action`, which is repeated with growing pauses while it raises `ServiceError`.

    Parameters:
        waiting: what the log says while it waits, such as ``job 42 waits``.
        tries: the largest number of calls; None: no limit.
        give_up: called several times a second while it waits; True ends the waiting.

    Raises:
        ServiceError: the last one, after `tries` calls or when `give_up` said so.
    """
    done, pauses = 0, growing(_FIRST_PAUSE, _LONGEST_PAUSE, factor=2)
    while True:
        try:
            return waiting_for_schema(action)
        except ServiceError as error:
            done += 1
            if done == tries:
                raise
            log.warning("%s: %s", waiting, error)
            until = time.monotonic() + next(pauses)
            while (left := until - time.monotonic()) > 0:
                if give_up():
                    raise
                time.sleep(min(left, _LOOK_EVERY))


def wait_within(job_id: int, waits: str, action: Callable[[], T]) -> T:
    """The result of an `action` that a running attempt needs: it waits until its worker is about to exit.

    Parameters:
        waits: for what, such as ``for its checkpoint``.

    Raises:
        ServiceError: the last one, when the attempt should stop.
    """
    return wait_out(action, f"job {job_id} waits {waits}".rstrip(), give_up=slots.mine.should_stop)


def waiting_for_schema(action: Callable[[], T]) -> T:
    """The result of `action`; a schema that is being upgraded under a running worker counts as an outage.

    Raises:
        ServiceError: as `action`, or the schema does not fit at the moment.
    """
    try:
        return action()
    except SchemaError as error:
        raise ServiceError(str(error)) from error
