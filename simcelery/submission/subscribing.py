"""Subscriptions to the jobs of a submission, recorded in the same transactions as these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.board.values import NewJob, Recorded
from simcelery.settings import get_settings
from simcelery.submission import lineage
from simcelery.submission.options import Options

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.subscriptions import NewSubscription


class Subscribing:
    """Those who want to be told of one submission.

    Attributes:
        ids: of the subscriptions, once the first jobs are recorded.
        open: whether more jobs may follow.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.ids: list[int] = []
        self.open = False

    def __bool__(self) -> bool:
        return bool(self._options.notify)

    def note(
        self, connection: Connection, new: Sequence[NewJob], recorded: Sequence[Recorded], *, more: bool
    ) -> None:
        """Record them with these jobs.

        Parameters:
            more: whether more jobs may follow; then `close` ends it.
        """
        from simcelery.board import subscriptions  # SQLAlchemy loads when it is first needed

        self.open = more
        jobs = [job.id for job in recorded]
        for number in self.ids:
            subscriptions.extend(connection, number, jobs, more=more)
        if self.ids or not jobs:
            return
        after = get_settings().stalled_after
        self.ids = [
            subscriptions.add(connection, self._new(address, new[0]), jobs, after, more=more)
            for address in self._options.notify
        ]

    def _new(self, address: str, job: NewJob) -> NewSubscription:
        from simcelery.board.subscriptions import NewSubscription  # as above

        events = tuple(self._options.notify_on)
        return NewSubscription(address, events, job.workflow, tuple(job.tags), lineage.submitter())

    def close(self) -> None:
        """No more jobs follow."""
        from simcelery.board import engine, subscriptions  # as above

        with engine.begin() as connection:
            for number in self.ids:
                subscriptions.close(connection, number)
        self.open = False
