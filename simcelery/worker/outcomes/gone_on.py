"""A job has succeeded in which others had gone on: these are settled at once, not by the next settle."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from simcelery.board import engine, transitions
from simcelery.board.values import FinishedJob, JobToPublish
from simcelery.errors import ServiceError
from simcelery.failpoints import failpoint

log = logging.getLogger(__name__)

# Dependents that one step tells; and seconds that a pool child does nothing else, however many have gone on.
_AT_ONCE, _LONGEST = 1000, 2.0


def settle(finished: FinishedJob) -> FinishedJob:
    """Give its result to the jobs that had gone on in it, to those that had gone on in these, and so on.

    Level by level, each a transaction that waits for nobody. What it does not come to is left to recovery:
    the board's marks tell it.

    Returns:
        The same, with the jobs that waited for one of them.
    """
    ready: list[JobToPublish] = []
    ended = [finished.id] if finished.gone_on else []
    try:
        until = time.monotonic() + _LONGEST
        while ended and time.monotonic() < until:
            failpoint("before_settle")
            with engine.begin() as connection:
                step = transitions.settle(connection, _AT_ONCE, only=ended)
            ready += step.ready
            ended = step.succeeded
    except ServiceError as error:
        log.info("job %s: the jobs that had gone on in it are left to recovery: %s", finished.id, error)
    except Exception:
        log.exception("job %s: the jobs that had gone on in it are left to recovery", finished.id)
    return replace(finished, unblocked=(*finished.unblocked, *ready)) if ready else finished
