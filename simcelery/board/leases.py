"""Workers and their leases: the right to hold jobs until a certain time, by Postgres's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    CompoundSelect,
    Connection,
    Text,
    Update,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from simcelery.board import environments
from simcelery.board.models import Allocation, Job, Worker
from simcelery.board.reads.rules import LIVE
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.states import State
from simcelery.board.unreadable import bad_rows
from simcelery.board.values import (
    Account,
    Predecessor,
    Registration,
)
from simcelery.needs import Room


def is_worker(me: Registration) -> ColumnElement[bool]:
    """The worker's own row, if it still is its own."""
    return and_(Worker.id == me.worker_id, Worker.registration == me.key)


def is_known(me: Registration) -> ColumnElement[bool]:
    """Whether the board still knows the worker."""
    return exists().where(is_worker(me))


def is_live() -> ColumnElement[bool]:
    """Whether the worker has not ended and its lease holds."""
    return literal_column(LIVE, Boolean)


# --- a worker's own lease --------------------------------------------------------------------------


def register(
    connection: Connection,
    *,
    nodename: str,
    host: str,
    pid: int,
    queues: Sequence[str],
    concurrency: int,
    scheduler_job_id: str | None,
    version: str,
    lease: float,
    identity: str = "",
    workflows: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
    origin: Mapping[str, Any] | None = None,
    room: Room | None = None,
    allocation: str | None = None,
    left: float | None = None,
) -> Registration:
    """Register a new worker.

    Parameters:
        lease: seconds.
        identity: distinguishes this process from any other that ever has its pid; the board only stores it.
        workflows: the names of the workflows that it knows.
        sources: the fingerprints of those that have one.
        room: what its node has for jobs.
        allocation: the name of the one that started it.
        left: seconds until its jobs must have ended; None: nothing ends it.
        origin: what is noted of where their code comes from, for the attempts; see `environments`.
    """
    row = connection.execute(
        insert(Worker)
        .values(
            nodename=nodename,
            host=host,
            pid=pid,
            queues=list(queues),
            concurrency=concurrency,
            scheduler_job_id=scheduler_job_id,
            allocation=allocation,
            version=version,
            lease_expires_at=func.now() + seconds(lease),
            identity=identity,
            workflows=list(workflows),
            sources=dict(sources or {}),
            environment_id=None if origin is None else environments.note(connection, origin),
            ends_at=_in(left),
            **({} if room is None else {**vars(room), "gpus": list(room.gpus)}),
        )
        .returning(Worker.id, Worker.registration)
    ).one()
    if allocation is not None:  # it runs, whenever the scheduler will say so
        of_it = and_(Allocation.name == allocation, Allocation.ran_from.is_(None))
        connection.execute(update(Allocation).where(of_it).values(ran_from=func.now(), ran_until=func.now()))
    return Registration(worker_id=row.id, key=row.registration)


def renew(
    connection: Connection,
    me: Registration,
    lease: float,
    *,
    every: float | None = None,
    succeeded: Iterable[str] = (),
    left: float | None = None,
) -> bool:
    """Extend a worker's lease, even an expired one.

    False: the board no longer knows the worker, or considers it dead, or has given its id to another one.

    Parameters:
        lease: seconds.
        every: seconds between renewals; None: well below half a lease.
        succeeded: the workflows with which this worker has succeeded since it last renewed.
        left: as in `register`; told again each time, since Postgres's clock may be set meanwhile.
    """
    # Most renewals are the same as the one before.
    renewed = connection.execute(_renewal(me, lease, every, tuple(succeeded), left))
    return renewed.rowcount == 1


@lru_cache(maxsize=16)
def _renewal(
    me: Registration, lease: float, every: float | None, succeeded: tuple[str, ...], left: float | None
) -> Update:
    # Whoever was cut off for half a lease may see others as lost that were cut off with it. Where
    # renewals are rarer than that, a gap is a renewal that was missed.
    gap = max(lease / 2, 1.5 * (every or 0.0))
    interrupted = or_(
        func.now() - Worker.renewed_at > seconds(gap),
        Worker.lease_expires_at <= func.now(),
    )
    return (
        update(Worker)
        .where(is_worker(me), Worker.ended_at.is_(None))
        .values(
            renewed_at=func.now(),
            lease_expires_at=func.now() + seconds(lease),
            ends_at=_in(left),
            steady_since=case((interrupted, func.now()), else_=func.least(Worker.steady_since, func.now())),
            succeeded=case(
                (func.jsonb_typeof(Worker.succeeded) == "object", Worker.succeeded), else_=literal({}, JSONB)
            ).op("||")(_now_for(succeeded)),
        )
    )


def _in(left: float | None) -> ColumnElement[Any] | None:
    """The moment that comes in so many seconds."""
    return None if left is None else func.now() + seconds(min(left, _CENTURY))


_CENTURY = 100 * 365.25 * 86_400


def _now_for(names: Iterable[str]) -> ColumnElement[Any]:
    """A JSON object that maps each name to now, by Postgres's clock."""
    name = func.unnest(literal(list(names), ARRAY(Text))).column_valued("name")
    found = func.coalesce(func.jsonb_object_agg(name, func.now()), literal({}, JSONB))
    return select(found).scalar_subquery()


def end(connection: Connection, me: Registration) -> None:
    """Note that a worker has shut down."""
    connection.execute(update(Worker).where(is_worker(me), Worker.ended_at.is_(None)).values(**_ENDED))


def accounts(connection: Connection, worker_id: int, job_ids: Iterable[int]) -> list[Account]:
    """The jobs that run in this worker according to the board, and those that it asks about, by id.

    A job that was never claimed is left out.
    """
    rows = connection.execute(_accounts(worker_id, tuple(job_ids)))
    return [
        Account(**{**row._mapping, "state": known})
        for row in rows
        if row.claim_id and row.pid and (known := bad_rows.state(row.state))
    ]


@lru_cache(maxsize=16)  # as above
def _accounts(worker_id: int, job_ids: tuple[int, ...]) -> CompoundSelect[*tuple[Any, ...]]:
    columns = (
        Job.id,
        Job.task_id,
        Job.claim_id,
        Job.attempt,
        Job.state,
        Job.pid,
        Job.worker_id,
        Job.cancel_requested_at.is_not(None).label("cancel_requested"),
    )
    # Two questions, each answered by an index: one with OR would depend on the planner's mood.
    mine = select(*columns).where(Job.state == State.RUNNING, Job.worker_id == worker_id)
    asked = select(*columns).where(among(Job.id, job_ids), Job.claim_id.is_not(None))
    return union(mine, asked).order_by("id")


_ENDED = {"ended_at": func.now(), "lease_expires_at": func.least(Worker.lease_expires_at, func.now())}


# --- certain death ---------------------------------------------------------------------------------


def predecessors(connection: Connection, host: str, worker_id: int) -> list[Predecessor]:
    """The other workers of this host that have not ended. Whether they are alive, only the host knows.

    Workers noted as dead are included as long as they hold jobs, since their rescue was interrupted.
    """
    unended = select(Worker.id).where(Worker.ended_at.is_(None))
    holding = select(Job.worker_id).where(Job.state == State.RUNNING)
    rows = connection.execute(
        select(Worker.id, Worker.pid, Worker.identity, Worker.nodename)
        .where(Worker.host == host, Worker.id.in_(union(unended, holding)), Worker.id != worker_id)
        .order_by(Worker.id)
    )
    return [Predecessor(**row) for row in rows.mappings()]


def bury(connection: Connection, worker_ids: Iterable[int]) -> list[int]:
    """Note that workers have ended; return the ids of those that had not. If alive, they cannot renew."""
    unended = (
        select(Worker.id)
        .where(among(Worker.id, worker_ids), Worker.ended_at.is_(None))
        .order_by(Worker.id)
        .with_for_update()
        .cte("unended")
    )
    return list(
        connection.scalars(
            update(Worker)
            .where(Worker.id.in_(select(unended.c.id)), Worker.ended_at.is_(None))
            .values(**_ENDED)
            .returning(Worker.id)
        )
    )
