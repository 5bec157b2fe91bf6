"""Claim: the board decides who runs a job; the message only woke us up."""

from __future__ import annotations

import logging
import os
import time
import uuid

from simcelery.board import engine, transitions
from simcelery.board.transitions import Claim
from simcelery.errors import BoardUnreachableError
from simcelery.failpoints import failpoint

log = logging.getLogger(__name__)

WORKER_ID = "SIMCELERY_WORKER_ID"  # set by the lease before the pool forks its children
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


def worker_id() -> int:
    """The id of the worker that this process belongs to."""
    return int(os.environ[WORKER_ID])


def claim(task_id: uuid.UUID, workflow: str, claim_id: uuid.UUID) -> Claim | None:
    """Claim a job, or None if it is not to be run: finished, cancelled, unknown, or somebody else has it.

    While Postgres is away, or our own lease has lapsed, it waits: the message is kept from others, but one
    that is given up would be lost until recovery sends it again, and a fleet would eat the whole window.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            with engine.begin() as connection:
                failpoint("before_claim")
                claimed = transitions.claim(
                    connection,
                    task_id=task_id,
                    workflow=workflow,
                    claim_id=claim_id,
                    worker_id=worker_id(),
                    pid=os.getpid(),
                )
                if claimed is None and not transitions.misses_by_lease_alone(
                    connection, task_id=task_id, workflow=workflow, worker_id=worker_id()
                ):
                    return None
                failpoint("before_claim_commit")
            if claimed is not None:
                failpoint("after_claim")
                return claimed
            log.warning("job %s waits: this worker's lease has lapsed", task_id)
        except BoardUnreachableError as error:
            log.warning("job %s waits: %s", task_id, error)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
