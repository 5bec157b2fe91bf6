"""Dependencies between jobs: which one waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    SQLColumnExpression,
    Subquery,
    column,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board import engine, sql
from simcelery.board.models import Dependency, Job
from simcelery.board.sql_helpers import among
from simcelery.board.states import State
from simcelery.errors import JobNotFoundError


def count_unmet(
    connection: Connection, ids: Sequence[int], parents: Sequence[Iterable[int]]
) -> dict[int, int]:
    """How many parents of each new job have not succeeded.

    Parents already on the board are locked FOR SHARE in the order of their ids: until the caller commits,
    none of them can finish, so none can miss the dependency that is about to be recorded.

    Raises:
        JobNotFoundError: a parent is neither on the board nor among `ids`.
    """
    wanted = {parent for group in parents for parent in group}
    if not wanted:
        return {}
    new = set(ids)
    states = {}
    if known := sorted(wanted - new):
        rows = connection.execute(
            select(Job.id, Job.state).where(among(Job.id, known)).order_by(Job.id).with_for_update(read=True)
        )
        states = {row.id: row.state for row in rows}
        if missing := [parent for parent in known if parent not in states]:
            raise JobNotFoundError(f"there is no job {missing[0]} to wait for")
    return {
        number: sum(states.get(parent) != State.SUCCEEDED for parent in group)
        for number, group in zip(ids, parents, strict=True)
    }


def parent_dirs(job_id: int) -> list[str]:
    """Where the last attempts of a job's parents have left files, in the order of the parents' ids."""
    rows = engine.one_round_trip(sql.statement("parent_dirs"), {"job_id": job_id})
    return [row["workdir"] for row in rows]


def add(connection: Connection, edges: Mapping[int, Iterable[int]]) -> None:
    """Record the dependencies of new jobs: job id → ids of its parents."""
    rows = [{"job_id": job, "parent_id": parent} for job, group in edges.items() for parent in sorted(group)]
    if rows:
        connection.execute(insert(Dependency), rows)


def first_dependent(parent: SQLColumnExpression[int]) -> ColumnElement[int | None]:
    """A job's dependent with the smallest id, or NULL, found in the index whatever Postgres estimates."""
    edges = select(Dependency.job_id).where(Dependency.parent_id == parent)
    return edges.order_by(Dependency.job_id).limit(1).scalar_subquery()


def up(jobs: Iterable[int]) -> Subquery:
    """The edges to the parents of these jobs: ``job_id``, ``parent_id``; see `by_index`."""
    ids = literal(list(jobs), ARRAY(BigInteger))
    job = func.unnest(ids).table_valued(column("id", BigInteger), name="job").render_derived()
    edge = select(Dependency.parent_id).where(Dependency.job_id == job.c.id).offset(0).lateral("edge")
    found = select(job.c.id.label("job_id"), edge.c.parent_id).join_from(job, edge, true())
    return found.offset(0).subquery("up")


def parents_of(connection: Connection, job_id: int) -> list[int]:
    """The ids of the jobs that this one depends on."""
    return list(
        connection.scalars(
            select(Dependency.parent_id).where(Dependency.job_id == job_id).order_by(Dependency.parent_id)
        )
    )


def parents_of_each(connection: Connection, job_ids: Iterable[int]) -> dict[int, list[int]]:
    """The same for many jobs; those that depend on none are left out."""
    edges = up(job_ids)
    found: dict[int, list[int]] = {}
    for job, parent in connection.execute(select(edges).order_by(edges.c.job_id, edges.c.parent_id)):
        found.setdefault(job, []).append(parent)
    return found


def dependents_of(connection: Connection, job_id: int) -> list[int]:
    """The ids of the jobs that depend on this one."""
    return list(
        connection.scalars(
            select(Dependency.job_id).where(Dependency.parent_id == job_id).order_by(Dependency.job_id)
        )
    )
