"""``simcelery.shares``: queues in which nobody's jobs wait for a sweep of somebody else."""

from __future__ import annotations

from simcelery.board import engine
from simcelery.board import shares as board
from simcelery.board.shares import By
from simcelery.submission.lineage import submitter


class Shares:
    """Queues that are shared: ``simcelery.shares``.

    Of equally urgent jobs those of whoever has the fewest running come first. Other queues have strict order.
    """

    def __repr__(self) -> str:
        return "<simcelery.shares: set, list, stop>"

    def set(self, queue: str, by: By) -> None:
        """Share a queue between submitters, or between the first tags of jobs: ``"submitter"`` or ``"tag"``.

        On a large board this takes some seconds, during which no job is claimed.

        Raises:
            UsageError: the queue or what it is to be shared by is none.
        """
        queue, by = board.checked(queue, by)
        with engine.begin() as connection:
            board.share(connection, queue, by, submitter())

    def list(self) -> dict[str, str]:
        """The queues that are shared, each with what it is shared by."""
        with engine.begin() as connection:
            return board.listed(connection)

    def stop(self, queue: str) -> None:
        """Go back to strict order, by priority and age."""
        with engine.begin() as connection:
            board.stop(connection, queue)


shares = Shares()
