"""A black hole: a worker on which every job fails within seconds, and which so takes ever more of them.

It is kept from taking jobs, and its last failures are handed back without counting, if its last jobs all
failed at once while another worker succeeds with the same workflow. Where a worker is alone, or half of its
peers are in quarantine already, the fault is taken to be the jobs'.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from simcelery import broker
from simcelery.board import engine, leases, transitions
from simcelery.errors import BrokerUnreachableError, ServiceError
from simcelery.settings import Settings
from simcelery.worker.slots import Record, Slots

log = logging.getLogger(__name__)

EVERY = 0.5
LATELY = 600.0  # seconds within which another worker's success counts
ACQUITTED_FOR = 30.0  # seconds until it is judged again


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
        self._quarantined = False
        self._handed_back: frozenset[uuid.UUID] = frozenset()

    def successes(self) -> list[str]:
        """The workflows with which this worker has succeeded since the last call, as far as is known."""
        records = self._slots.records()
        told, self._told = self._told, max([self._told, *(record.succeeded_at or 0 for record in records)])
        return sorted({record.workflow for record in records if (record.succeeded_at or 0) > told})

    def look(self) -> None:
        """One look; does nothing while no failures pile up."""
        records = self._slots.records()
        failed = frozenset(task_id for record in records for task_id in record.failed)
        if not failed or failed == self._handed_back:
            return
        try:
            if self._quarantined or (self._is_suspicious(records) and self._is_guilty(records, len(failed))):
                self._hand_back(failed)
        except ServiceError as error:
            log.warning("whether this worker fails alone is not known yet: %s", error)

    def _is_suspicious(self, records: list[Record]) -> bool:
        wanted = self._settings.quarantine_after
        failures = sum(record.failures for record in records)
        return wanted > 0 and failures >= wanted and all(record.failures for record in records)

    def _is_guilty(self, records: list[Record], number: int) -> bool:
        """Ask the board. Children with too many failures wait for this; an acquittal holds for a while."""
        now = time.monotonic()
        if self._slots.acquitted_until > now:
            return False
        note = f"in quarantine: its last {number} jobs failed within seconds, while others succeed"
        workflows = {record.workflow for record in records}
        with engine.begin(self._settings) as connection:
            self._quarantined = leases.others_succeeded(
                connection, self._worker_id, workflows, LATELY
            ) and leases.quarantine(connection, self._worker_id, note)
        if not self._quarantined:
            self._slots.acquit(now + ACQUITTED_FOR)
            return False
        log.error("this worker is %s; it takes no more jobs until it is restarted", note)
        self._slots.close()
        self._leave_queues()
        return True

    def _hand_back(self, failed: frozenset[uuid.UUID]) -> None:
        with engine.begin(self._settings) as connection:
            handed_back = transitions.hand_back(connection, failed, self._worker_id)
        self._handed_back = failed
        try:
            broker.publish(job.again for job in handed_back if job.again)
        except BrokerUnreachableError as error:
            log.warning("what was handed back will be published later: %s", error)
