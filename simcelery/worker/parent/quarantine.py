"""A black hole: a worker on which every job fails within seconds, and which so takes ever more of them.

It is kept from taking jobs, and its last failures are handed back without counting, if its last jobs all
failed at once while another worker succeeds with the same workflow. Where a worker is alone, or half of those
that know the workflow are in quarantine already, the fault is taken to be the jobs'. If one of the jobs fails
elsewhere too, it was: then the quarantine ends. It also ends after a while, as a trial that costs little.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from simcelery import broker
from simcelery.board import engine, quarantine, reads, transitions
from simcelery.board.values import Registration
from simcelery.errors import ServiceError
from simcelery.settings import Settings
from simcelery.worker.parent.withdrawal import Withdrawal
from simcelery.worker.slots.parent import Slots
from simcelery.worker.slots.reading import History

log = logging.getLogger(__name__)

EVERY = 0.5
_REASON = "quarantine"
LATELY = 600.0  # seconds within which another worker's success counts
ACQUITTED_FOR = 30.0  # seconds until it is judged again
REVIEW_EVERY = 5.0  # seconds
LONGEST = 600.0  # seconds in quarantine, until it is tried again; and seconds of trust after a wrong one


class Quarantine:
    """Judges the worker that it runs in.

    Parameters:
        me: the worker that is judged.
        clock: returns the monotonic time, in seconds.
    """

    def __init__(
        self,
        slots: Slots,
        settings: Settings,
        me: Registration,
        withdrawal: Withdrawal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._me = me
        self._withdrawal = withdrawal
        self._clock = clock
        self._told = 0.0
        self._since: float | None = None  # in quarantine
        self._asked_at = 0.0
        self._failed: frozenset[uuid.UUID] = frozenset()  # here, when this was last looked at in quarantine
        self._handed_back: set[uuid.UUID] = set()

    def successes(self) -> list[str]:
        """The workflows with which this worker has succeeded since the last call, as far as is known."""
        histories = self._slots.histories()
        told, self._told = self._told, max([self._told, *(one.succeeded_at or 0 for one in histories)])
        return sorted({one.workflow for one in histories if (one.succeeded_at or 0) > told})

    def look(self) -> None:
        """Check once; does nothing unless failures pile up, or while the worker takes no jobs anyway."""
        if self._slots.unusable:
            return
        histories = [one for one in self._slots.histories() if one.failures or one.succeeded_at]
        failed = frozenset(task_id for one in histories for task_id in one.failed)
        try:
            if self._since is None:
                self._judge(histories, failed)
            else:
                if failed - self._handed_back:  # a child may write its failures only after the judgement
                    self._hand_back(failed)
                self._review(self._since)
        except ServiceError as error:
            log.warning("cannot tell yet whether jobs fail only on this worker: %s", error)

    def _judge(self, histories: list[History], failed: frozenset[uuid.UUID]) -> None:
        """Decide on failures: children with too many wait for this; an acquittal holds for a while."""
        now = self._clock()
        wanted = self._settings.quarantine_after
        if wanted == 0 or self._slots.acquitted_until > now:
            return
        if sum(one.failures for one in histories) < wanted:
            return
        if all(one.failures for one in histories) and self._fails_alone(histories, len(failed)):
            self._since = self._asked_at = now
            self._handed_back.clear()
            self._hand_back(failed)
        else:
            self._slots.acquit(now + ACQUITTED_FOR)

    def _fails_alone(self, histories: list[History], number: int) -> bool:
        note = f"in quarantine: its last {number} jobs failed within seconds, while others succeed"
        workflows = {one.workflow for one in histories}
        with engine.begin(self._settings) as connection:
            known = quarantine.others_succeeded(connection, self._me.worker_id, workflows, LATELY)
            alone = bool(known) and quarantine.enter(connection, self._me, known, note)
        if alone:
            log.error("this worker is %s", note)
            self._withdrawal.begin(_REASON, note)
        return alone

    def _review(self, since: float) -> None:
        """Whether the quarantine was wrong, or has lasted long enough."""
        now = self._clock()
        if now - self._asked_at < REVIEW_EVERY:
            return
        self._asked_at = now
        with engine.begin(self._settings) as connection:
            wrong = reads.failed_elsewhere(connection, self._failed, self._me.worker_id)
        if not wrong and now - since < LONGEST:
            return
        log.warning("the quarantine ends: %s", "the jobs fail elsewhere, too" if wrong else "trying again")
        self._since = None
        self._slots.acquit(now + (LONGEST if wrong else 0.0))
        self._withdrawal.end(_REASON)

    def _hand_back(self, failed: frozenset[uuid.UUID]) -> None:
        with engine.begin(self._settings) as connection:
            handed_back = transitions.hand_back(connection, failed, self._me)
        self._failed = failed
        self._handed_back.update(job.task_id for job in handed_back)
        broker.publish_or_leave((job.again for job in handed_back if job.again), "what was handed back")
