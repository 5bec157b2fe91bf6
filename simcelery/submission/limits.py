"""``simcelery.limits``: how many jobs of a tag, a workflow or a queue, or on a host, may run at once."""

from __future__ import annotations

from simcelery.board import engine
from simcelery.board import limits as board
from simcelery.board.limits import LimitRow
from simcelery.errors import UsageError
from simcelery.submission.lineage import submitter


class Limits:
    """How many jobs may run at once: ``simcelery.limits``. All workers obey them, once they are set.

    A limit is called ``tag:NAME``, ``workflow:NAME``, ``queue:NAME`` or ``host:NAME``; ``host:*`` holds for
    each host that has no limit of its own.
    """

    def __repr__(self) -> str:
        return "<simcelery.limits: set, list, remove>"

    def set(self, name: str, most: int) -> None:
        """Let at most so many such jobs run at the same time; 0: none. What runs already goes on.

        Raises:
            UsageError: the name or the number is none.
        """
        given = dict([board.checked(name, most)])
        with engine.begin() as connection:
            board.put(connection, given, submitter())

    def list(self) -> tuple[LimitRow, ...]:
        """All limits by name: ``name``, ``most``, and how many jobs run, ``used``, or wait, ``waiting``."""
        with engine.begin() as connection:
            return tuple(board.listed(connection))

    def remove(self, *names: str) -> None:
        """Remove limits; what waits for them runs.

        Raises:
            UsageError: there is no such limit.
        """
        with engine.begin() as connection:
            if missing := sorted(set(names).difference(board.known(connection))):
                raise UsageError(f"there is no limit {missing[0]!r}: see 'simcelery limits'")
            board.remove(connection, names)


limits = Limits()
