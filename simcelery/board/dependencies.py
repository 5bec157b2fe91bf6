"""Dependencies between jobs: which one waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    SQLColumnExpression,
    Subquery,
    and_,
    case,
    column,
    false,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board import engine, sql
from simcelery.board.models import Dependency, Job
from simcelery.board.sql_helpers import among
from simcelery.board.states import TERMINAL, UNSUCCESSFUL, Kind, State
from simcelery.board.values import NewJob, ParentJob
from simcelery.errors import JobNotFoundError


def count_unmet(connection: Connection, ids: Sequence[int], jobs: Sequence[NewJob]) -> dict[int, int]:
    """How many parents each new job has to wait for.

    Parents already on the board are locked FOR SHARE in the order of their ids: until the caller commits,
    none of them can finish, so none can miss the dependency that is about to be recorded.

    Raises:
        JobNotFoundError: a parent is neither on the board nor among `ids`, or another job has its id.
    """
    wanted = {parent for job in jobs for parent in job.waits_for}
    if not wanted:
        return {}
    new = set(ids)
    states = {}
    if known := sorted(wanted - new):
        locked = select(Job.id, Job.task_id, Job.state).where(among(Job.id, known)).order_by(Job.id)
        rows = connection.execute(locked.with_for_update(read=True)).all()
        states = {row.id: row.state for row in rows}
        if missing := [parent for parent in known if parent not in states]:
            raise JobNotFoundError(f"there is no job {missing[0]} to wait for")
        there = {row.id: row.task_id for row in rows}
        for number, task_id in {one for job in jobs for one in job.known}:
            if there.get(number, task_id) != task_id:
                raise JobNotFoundError(f"job {number} is no longer on the board")
    succeeded = {number for number, state in states.items() if state == State.SUCCEEDED}
    ended = {number for number, state in states.items() if state in TERMINAL}
    return {
        number: len(job.parents - succeeded) + len(job.after_any - job.parents - ended)
        for number, job in zip(ids, jobs, strict=True)
    }


def is_met(edge: FromClause, parent: FromClause) -> ColumnElement[bool]:
    """Whether this edge keeps its job from running no longer, its parent being as it is now."""
    over = and_(edge.c.kind == Kind.ANY, parent.c.state.in_(UNSUCCESSFUL))
    return or_(parent.c.state == State.SUCCEEDED, func.coalesce(over, false()))


def parents(job_id: int) -> list[ParentJob]:
    """The jobs that this one waited for, as they are now, in the order of their ids."""
    rows = engine.one_round_trip(sql.statement("parents"), {"job_id": job_id})
    return [ParentJob(**{**row, "state": State(row["state"])}) for row in rows]


def number_unmet(edge: FromClause, parent: FromClause) -> ColumnElement[int]:
    """How many parents a job has to wait for, from its edges; one that goes on in another waits for that."""
    goes_on = func.bool_or(edge.c.kind == Kind.THEN)
    return case((goes_on, 1), else_=func.count().filter(not_(is_met(edge, parent))))


def add(connection: Connection, jobs: Mapping[int, NewJob]) -> None:
    """Record the dependencies of new jobs, by their ids."""
    rows = [
        {"job_id": number, "parent_id": parent, "kind": None if parent in job.parents else Kind.ANY}
        for number, job in jobs.items()
        for parent in sorted(job.waits_for)
    ]
    if rows:
        connection.execute(insert(Dependency), rows)


def first_dependent(parent: SQLColumnExpression[int]) -> ColumnElement[int | None]:
    """A job's dependent with the smallest id, or NULL, found in the index whatever Postgres estimates."""
    edges = select(Dependency.job_id).where(Dependency.parent_id == parent)
    return edges.order_by(Dependency.job_id).limit(1).scalar_subquery()


def up(jobs: Iterable[int]) -> Subquery:
    """The edges to the parents of these jobs: ``job_id``, ``parent_id``, ``kind``; see `by_index`."""
    ids = literal(list(jobs), ARRAY(BigInteger))
    job = func.unnest(ids).table_valued(column("id", BigInteger), name="job").render_derived()
    edges = select(Dependency.parent_id, Dependency.kind).where(Dependency.job_id == job.c.id)
    edge = edges.offset(0).lateral("edge")
    found = select(job.c.id.label("job_id"), edge.c.parent_id, edge.c.kind).join_from(job, edge, true())
    return found.offset(0).subquery("up")


def parents_of_each(connection: Connection, job_ids: Iterable[int]) -> dict[int, list[int]]:
    """The same for many jobs; those that depend on none are left out."""
    edges = up(job_ids)
    found: dict[int, list[int]] = {}
    for job, parent, _ in connection.execute(select(edges).order_by(edges.c.job_id, edges.c.parent_id)):
        found.setdefault(job, []).append(parent)
    return found
