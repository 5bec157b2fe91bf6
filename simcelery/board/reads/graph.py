"""What jobs depend on, and what depends on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from simcelery.board import sql
from simcelery.board.dependencies import parents_of_each, up
from simcelery.board.models import Job
from simcelery.board.sql_helpers import among, by_index
from simcelery.board.states import Kind, State
from simcelery.board.unreadable import bad_rows


@dataclass(frozen=True)
class Node:
    """A job of a graph."""

    id: int
    workflow: str
    state: State | None  # None: it cannot be read
    error: str | None


@dataclass
class Graph:
    """Jobs, and which of them wait for which.

    Attributes:
        nodes: by id.
        edges: parent and child, in order.
        any_end: those of them where the child waits for the end of the parent, whatever that is.
        then: those where the child has run, and goes on in the parent.
        more: whether there are jobs beyond the limit, which are left out.
    """

    nodes: dict[int, Node] = field(default_factory=dict)
    edges: list[tuple[int, int]] = field(default_factory=list)
    any_end: frozenset[tuple[int, int]] = frozenset()
    then: frozenset[tuple[int, int]] = frozenset()
    more: bool = False


def graph(connection: Connection, ids: Iterable[int], limit: int) -> Graph:
    """The ancestors and the descendants of jobs, `limit` jobs in all; those that are nearest come first."""
    by_index(connection)
    wanted = set(ids)
    edges: set[tuple[int, int]] = set()
    more = False
    for down in (False, True):
        frontier = set(wanted) if not down else set(ids)
        while frontier:
            found = _children(connection, frontier, limit) if down else _parents(connection, frontier)
            reached = {pair[down] for pair in found} - wanted
            room = limit - len(wanted)
            more = more or len(reached) > room
            frontier = set(sorted(reached)[: max(room, 0)])
            wanted |= frontier
            edges |= found
    made = Graph(_nodes(connection, wanted), more=more)
    made.any_end, made.then = (_of_kind(connection, wanted, kind) for kind in (Kind.ANY, Kind.THEN))
    made.edges = sorted(pair for pair in edges if pair[0] in made.nodes and pair[1] in made.nodes)
    return made


def _parents(connection: Connection, ids: Iterable[int]) -> set[tuple[int, int]]:
    found = parents_of_each(connection, ids)
    return {(parent, job) for job, parents in found.items() for parent in parents}


def _of_kind(connection: Connection, ids: Iterable[int], kind: Kind) -> frozenset[tuple[int, int]]:
    edge = up(sorted(ids))
    found = connection.execute(select(edge.c.parent_id, edge.c.job_id).where(edge.c.kind == kind))
    return frozenset((parent, job) for parent, job in found)


def _children(connection: Connection, ids: Iterable[int], limit: int) -> set[tuple[int, int]]:
    most = {"each": limit + 1, "most": None}
    rows = sql.execute(connection, "dependents_of_each", parents=sorted(ids), **most)
    return {(row.id, row.job_id) for row in rows}


def _nodes(connection: Connection, ids: Iterable[int]) -> dict[int, Node]:
    rows = connection.execute(
        select(Job.id, Job.workflow, Job.state, Job.error_type, Job.error_message)
        .where(among(Job.id, sorted(ids)))
        .order_by(Job.id)
    )
    return {
        row.id: Node(
            row.id,
            row.workflow,
            bad_rows.state(row.state),
            ": ".join(filter(None, (row.error_type, row.error_message))) or None,
        )
        for row in rows
    }
