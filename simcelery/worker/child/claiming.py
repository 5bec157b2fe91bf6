"""Claim: the board decides who runs a job; the message is only a wake-up call."""

from __future__ import annotations

import logging
import os
import time
import uuid
from contextlib import suppress

from simcelery import broker
from simcelery.board import engine, feed, transitions
from simcelery.board.unreadable.mending import despite_bad_rows
from simcelery.board.values import Claim, ClaimRequest, JobToPublish, Lane
from simcelery.errors import RefusedByBoardError, ServiceError
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.worker import belonging, slots
from simcelery.worker.child import pace
from simcelery.worker.slots.room import NoRoom
from simcelery.worker.waiting import wait_out

log = logging.getLogger(__name__)

_LONGEST_JUDGEMENT = 10.0  # seconds; Postgres may be away


def claim(task_id: uuid.UUID, claim_id: uuid.UUID, lane: Lane, more: int) -> list[Claim]:
    """Claim a job, and up to this many others of its workflow and queue; most often just the one.

    If the message's own job is gone, because a slice took it, another one takes its place. So each message
    of a lane leads to a job, as long as there are any.

    Returns nothing if there is nothing to run. While Postgres is unreachable, or our own lease has
    expired, it waits: this keeps the message from others, but a message that is given up would be lost
    until recovery sends it again, and a fleet would soon use up the whole window. A worker that is about
    to exit gives it back instead.

    Parameters:
        lane: the lane of the message.

    Raises:
        NoRoom: the job, and the first of its lane, need more of the node than is free here; or a limit of
            the host is full.
    """
    _await_judgement()
    if not slots.mine.take_job():
        give_back(task_id)
        return []
    freed = slots.mine.memory.freed()
    wanted = request(task_id, claim_id, lane, more)
    claimed: list[Claim] = []
    try:
        claimed = wait_out(_Claim(wanted), f"job {task_id} waits", give_up=slots.mine.is_closed)
    except ServiceError:
        pass
    except RefusedByBoardError as error:
        log.warning("job %s cannot be claimed: %s", task_id, error)
    if claimed:
        failpoint("after_claim")
    else:
        slots.mine.return_job()
        if lacks := _lacks(wanted):
            if lacks == "host":
                slots.mine.report_crowded()
            raise NoRoom(freed, crowded=lacks == "host")
        _drop_stale(lane)
    return claimed


def request(task_id: uuid.UUID | None, claim_id: uuid.UUID, lane: Lane, more: int) -> ClaimRequest:
    """What this child asks for.

    Parameters:
        task_id: the job that the message names; None: whichever comes first in the lane.
        more: how many others of its workflow and queue.
    """
    return ClaimRequest(
        task_id,
        lane.workflow,
        claim_id,
        belonging.me(),
        os.getpid(),
        lane.queue,
        lane.priority,
        more,
        durable=not pace.is_short(lane.workflow),
    )


def _lacks(wanted: ClaimRequest) -> str | None:
    try:
        return transitions.waits_for_room(wanted)
    except ServiceError:  # its message will be sent again
        return None


def leave_to_others(task_id: uuid.UUID, lane: Lane, first: bool) -> None:
    """Put a job's message back: it cannot run here now, but may elsewhere.

    Parameters:
        first: before the others of its lane, since none of them can; else behind them.
    """
    with suppress(ServiceError):  # else it will be sent again
        broker.send([JobToPublish(0, task_id, lane.workflow, lane.queue, lane.priority)], first=first)


def _drop_stale(lane: Lane) -> None:
    """A message led to no job: those behind it would not either, and would keep us from other lanes."""
    with suppress(ServiceError):
        broker.drop_stale(lane)


class _Claim:
    """Makes a claim, repeatedly if needed."""

    def __init__(self, wanted: ClaimRequest) -> None:
        self._wanted = wanted
        self._in_doubt = False

    def __call__(self) -> list[Claim]:
        # The answer to an earlier try may be all that was lost.
        if self._in_doubt and (forgotten := transitions.forgotten(self._wanted)):
            return forgotten
        try:
            claimed = despite_bad_rows(lambda: transitions.claim(self._wanted))
        except ServiceError:
            self._in_doubt = True
            raise
        if not claimed and not transitions.holds_lease(self._wanted):
            raise ServiceError("this worker's lease has expired")
        return claimed


def is_suspicious() -> bool:
    """Whether so many jobs in a row have failed in this child that it may be the node's fault."""
    return 0 < get_settings().quarantine_after <= slots.mine.failures and not slots.mine.acquitted


def _await_judgement() -> None:
    """After too many failures in a row, wait for the verdict on this node before claiming the next job."""
    deadline = time.monotonic() + _LONGEST_JUDGEMENT
    while is_suspicious() and not slots.mine.is_closed():
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def give_back(task_id: uuid.UUID) -> None:
    """Have a job's message sent again at once: this worker has taken it and cannot use it."""
    try:
        with engine.begin() as connection:
            feed.forget_message(connection, task_id)
    except ServiceError as error:
        log.warning("the message of job %s will be sent again later: %s", task_id, error)
