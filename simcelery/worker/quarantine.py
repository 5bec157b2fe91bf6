"""A black hole: a worker on which every job fails within seconds, and which so takes ever more of them.

It is kept from taking jobs, and its last failures are handed back without counting, if its last jobs all
failed at once while another worker succeeds with the same workflow. Where a worker is alone, or half of its
peers are in quarantine already, the fault is taken to be the jobs'.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from simcelery import broker
from simcelery.board import engine, leases, transitions
from simcelery.errors import BrokerUnreachableError
from simcelery.settings import Settings
from simcelery.worker.slots import FAILURES_KEPT, Record, Slots

log = logging.getLogger(__name__)

LATELY = 600.0  # seconds within which another worker's success counts


class Quarantine:
    """Judges one worker by its own record.

    Parameters:
        leave_queues: stops the worker from taking messages.
    """

    def __init__(
        self, slots: Slots, settings: Settings, worker_id: int, leave_queues: Callable[[], Any]
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._worker_id = worker_id
        self._leave_queues = leave_queues
        self._told = 0.0

    def successes(self) -> list[str]:
        """The workflows with which this worker has succeeded since the last call, as far as is known."""
        records = self._slots.records()
        told, self._told = self._told, max([self._told, *(record.succeeded_at or 0 for record in records)])
        return sorted({record.workflow for record in records if (record.succeeded_at or 0) > told})

    def check(self) -> bool:
        """Whether this worker is in quarantine from now on.

        Raises:
            BoardUnreachableError: it is judged later.
        """
        records = self._slots.records()
        if self._slots.closed or not self._is_suspicious(records):
            return False
        workflows = {record.workflow for record in records}
        failed = [task_id for record in records for task_id in record.failed]
        note = f"in quarantine: its last {len(failed)} jobs failed within seconds, while others succeed"
        with engine.begin(self._settings) as connection:
            if not leases.others_succeeded(connection, self._worker_id, workflows, LATELY):
                return False
            if not leases.quarantine(connection, self._worker_id, note):
                return False
            handed_back = transitions.hand_back(connection, failed, self._worker_id)
        log.error("this worker is %s; it takes no more jobs until it is restarted", note)
        self._slots.close()
        self._leave_queues()
        try:
            broker.publish(job.again for job in handed_back if job.again)
        except BrokerUnreachableError as error:
            log.warning("what was handed back will be published later: %s", error)
        return True

    def _is_suspicious(self, records: list[Record]) -> bool:
        wanted = self._settings.quarantine_after
        failures = sum(min(record.failures, FAILURES_KEPT) for record in records)
        return wanted > 0 and failures >= wanted and all(record.failures for record in records)
