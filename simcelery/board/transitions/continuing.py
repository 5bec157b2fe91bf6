"""running → blocked: a job that has run goes on in another one, whose result becomes its own.

Part of the finish: the end of the attempt and the job in which it goes on are recorded in one transaction, so
there is never one without the other, nor two.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, delete, func, insert, select, update

from simcelery.board import sql
from simcelery.board.models import Dependency, Job
from simcelery.board.sql_helpers import among
from simcelery.board.states import UNSUCCESSFUL, Cause, Kind, Outcome, State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.transitions import finish as finishing
from simcelery.board.transitions.finish import Guard
from simcelery.board.transitions.record import record
from simcelery.board.values import EndedAttempt, FinishedJob, NewJob
from simcelery.errors import JobNotFoundError, StateError
from simcelery.failpoints import failpoint

# So many jobs may follow each other: a loop whose end never comes is a mistake.
MOST = 1000


def finish(connection: Connection, guard: Guard, ended: EndedAttempt) -> FinishedJob | None:
    """Finish the attempt of the job that the guard lets through; see `transitions.finish.finish`.

    A cancel that was requested wins over a continuation: there is none then. One that cannot be is a failure.
    """
    if ended.then is None:
        return finishing.finish(connection, guard, ended)
    found = connection.execute(select(Job.id, Job.claim_id).where(guard)).one_or_none()
    if found is None:
        return None
    own = select(Job.id).where(among(Job.id, {found.id, *ended.then.waits_for}))
    connection.execute(own.order_by(Job.id).with_for_update())
    mine = select(Job.cancel_requested_at).where(
        guard, Job.id == found.id, Job.state.in_([State.RUNNING, State.PENDING, State.SCHEDULED])
    )
    row = connection.execute(mine).one_or_none()
    if row is None:
        return None
    alone = replace(ended, then=None)
    if row.cancel_requested_at is not None:
        cancelled = replace(alone, outcome=Outcome.CANCELLED, cause=Cause.CANCELLED)
        return _only(finishing.finish_all(connection, [found], cancelled))
    try:
        number = _record(connection, found.id, ended.then)
    except (StateError, JobNotFoundError) as error:
        failed = replace(
            alone,
            outcome=Outcome.FAILED,
            cause=Cause.ERROR,
            error_type=type(error).__name__,
            error_message=f"it cannot go on as it wants: {error}",
        )
        return _only(finishing.finish_all(connection, [found], failed))
    failpoint("continuation_recorded")
    finished = _only(finishing.finish_all(connection, [found], alone, number))
    if finished is None:
        return None
    waiting = select(*TO_PUBLISH).where(Job.id == number, Job.state == State.PENDING)
    published = tuple(job_to_publish(row._mapping) for row in connection.execute(waiting))
    return replace(finished, unblocked=published)


def _record(connection: Connection, job_id: int, then: NewJob) -> int:
    """Record the job in which another one goes on; its id.

    Raises:
        StateError: there are too many, or it would wait for the one that goes on in it.
        JobNotFoundError: a job that it is to wait for is not on the board.
    """
    earlier = sql.execute(connection, "earlier_of_continuation", id=job_id, most=MOST).scalar_one()
    if earlier + 1 > MOST:
        raise StateError(f"{MOST:,} jobs have gone on in each other already, which is the most there may be")
    if then.waits_for:
        circle = sql.execute(connection, "waits_for_itself", ids=[job_id], parents=list(then.waits_for))
        if circle.first() is not None:
            raise StateError(f"the job in which it goes on would wait for job {job_id}, which waits for it")
    [recorded] = record(connection, [replace(then, parent_id=job_id)])
    edge = {"job_id": job_id, "parent_id": recorded.id, "kind": Kind.THEN}
    connection.execute(insert(Dependency), [edge])
    return recorded.id


def _only(finished: list[FinishedJob]) -> FinishedJob | None:
    return finished[0] if finished else None


def forget(connection: Connection, ids: set[int]) -> None:
    """Let jobs that did not succeed, and are to begin anew, no longer wait for what they had gone on in."""
    edges = select(Dependency.job_id).where(among(Dependency.job_id, ids), Dependency.kind == Kind.THEN)
    if not (gone_on := connection.scalars(edges).all()):
        return
    over = select(Job.id).where(among(Job.id, gone_on), Job.state.in_(UNSUCCESSFUL)).order_by(Job.id)
    mine = connection.scalars(over.with_for_update()).all()
    connection.execute(delete(Dependency).where(among(Dependency.job_id, mine), Dependency.kind == Kind.THEN))


def of(connection: Connection, ids: list[int]) -> list[int]:
    """The jobs in which these go on."""
    return list(sql.execute(connection, "continuations", ids=ids).scalars())


def take_over(connection: Connection, ids: list[int]) -> None:
    """Let settle give the result to those of these jobs that wait for one which has succeeded meanwhile."""
    if then := of(connection, ids):
        succeeded = update(Job).where(among(Job.id, then), Job.state == State.SUCCEEDED)
        connection.execute(succeeded.values(settled_at=func.to_timestamp(0)))
