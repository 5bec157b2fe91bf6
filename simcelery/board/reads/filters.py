"""Which jobs: what people filter by, as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from simcelery.board import sql
from simcelery.quantities import spans

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from simcelery.conditions.values import Condition


@dataclass(frozen=True)
class Clause:
    """A condition as SQL, with ``%(name)s`` for its values."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Which jobs. A job must match everything given, and have all `tags`; `since` counts seconds back.

    `where` is a condition on any of its fields.
    """

    ids: Sequence[int] | None = None
    states: Sequence[str] = ()
    workflow: str | None = None
    tags: Sequence[str] = ()
    queue: str | None = None
    since: float | None = None
    where: Condition | None = None

    def clause(self) -> Clause:
        """As SQL, of the table ``jobs``; the names of its values begin with ``of_``.

        Raises:
            UsageError: `where` compares a column with what it can never be.
        """
        parts = list(self._parts())
        values: dict[str, Any] = {}
        for part in parts:
            values.update(part.values)
        return Clause(" AND ".join(part.text for part in parts) or "true", values)

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for expressions of SQLAlchemy."""
        from simcelery.board.sql_helpers import expression

        found = self.clause()
        return [] if found.text == "true" else [expression(found)]

    def _parts(self) -> Iterator[Clause]:
        if self.ids is not None:
            yield _among(self.ids)
        if self.states:
            # Not an array: of a single state Postgres then knows that it is one, and which index has it.
            values = {f"of_state_{at}": str(state) for at, state in enumerate(self.states)}
            yield Clause(f"jobs.state IN ({', '.join(f'%({name})s' for name in values)})", values)
        if self.workflow:
            yield Clause("jobs.workflow = %(of_workflow)s", {"of_workflow": self.workflow})
        if self.tags:
            # The second says so that Postgres finds the index, which leaves out jobs without tags.
            wanted = {"of_tags": list(self.tags)}
            yield Clause("jobs.tags @> %(of_tags)s::text[] AND jobs.tags <> '{}'", wanted)
        if self.queue:
            yield Clause("jobs.queue = %(of_queue)s", {"of_queue": self.queue})
        if self.since is not None:
            yield _since(self.since)
        if self.where is not None:
            from simcelery.board.reads.fields import as_clause

            yield as_clause(self.where)


_MANY = 1000  # ids from which on it pays to look for ranges
_RANGES = 10


def _among(ids: Sequence[int]) -> Clause:
    """These ids. People choose mostly ranges, and a million ids are then sent as two numbers."""
    ranges = list(islice(spans(sorted(set(ids))), _RANGES + 1)) if len(ids) >= _MANY else []
    if not 0 < len(ranges) <= _RANGES:
        return Clause("jobs.id = ANY(%(of_ids)s::bigint[])", {"of_ids": list(ids)})
    parts = [
        f"jobs.id BETWEEN %(of_first_{at})s::bigint AND %(of_last_{at})s::bigint" for at in range(len(ranges))
    ]
    values = {f"of_{end}_{at}": pair[end == "last"] for at, pair in enumerate(ranges) for end in _ENDS}
    return Clause(f"({' OR '.join(parts)})", values)


_ENDS = ("first", "last")
# A job's id is drawn after the beginning of its transaction, which is its submitted_at: by that much, in
# seconds, two jobs may be out of order at most. No transaction of ours can last as long.
_LONGEST_TRANSACTION = 600.0


def _since(seconds: float) -> Clause:
    return Clause(
        f"jobs.submitted_at >= now() - make_interval(secs => %(of_since)s)\n"
        f"AND jobs.id > ({sql.statement('last_before')})",
        {"of_since": seconds, "of_back": seconds + _LONGEST_TRANSACTION},
    )
