"""A sweep that stops itself: its canaries run first, and its fuse holds the rest if too many fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcelery.board import gates, transitions
from simcelery.board.gates import Behind, NewGate
from simcelery.board.values import NewJob, Recorded
from simcelery.describe.words import many
from simcelery.errors import ParametersError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.submission.options import Options


class Sweep:
    """The jobs of one submission with canaries or a fuse, recorded chunk by chunk behind one gate.

    Attributes:
        canaries: the ids of the jobs that run first, once the first chunk is recorded.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._gate: int | None = None
        self.canaries: tuple[int, ...] = ()

    def record(self, connection: Connection, new: Sequence[NewJob]) -> list[Recorded]:
        """Record a chunk of it.

        Raises:
            ParametersError: there are fewer jobs than canaries; nothing is recorded.
        """
        options = self._options
        first = self._gate is None
        if first and (options.canary or 0) > len(new):
            raise ParametersError(f"canary is {options.canary:,}, but there are only {many(len(new))}")
        if self._gate is None:
            self._gate = gates.create(connection, self._new_gate(new[0]))
        places = spread(len(new), options.canary or 0) if first else frozenset()
        behind = Behind(self._gate, gates.is_closed(connection, self._gate), places)
        recorded = transitions.record(connection, new, on_failed=options.on_failed, behind=behind)
        if first:
            self.canaries = tuple(sorted({recorded[place].id for place in places}))
            gates.add_canaries(connection, self._gate, self.canaries)
        return recorded

    def _new_gate(self, like: NewJob) -> NewGate:
        options = self._options
        return NewGate(
            workflow=like.workflow,
            tags=tuple(like.tags),
            submitted_by=like.submitted_by,
            canary=options.canary,
            max_fails=options.fails_allowed,
            max_fails_percent=options.percent_allowed,
        )


def spread(total: int, count: int) -> frozenset[int]:
    """So many places, evenly spread, the first and the last among them, since a sweep often fails there."""
    if count >= total:
        return frozenset(range(total))
    if count < 2:
        return frozenset(range(count))
    return frozenset(round(place * (total - 1) / (count - 1)) for place in range(count))
