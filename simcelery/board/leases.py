"""Workers and their leases: the right to hold jobs until a certain time, by Postgres's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    insert,
    literal_column,
    select,
    union,
    update,
)

from simcelery.board import engine, environments, sql
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
) -> bool:
    """`renew_and_ask` in an open transaction, without the questions. False: it no longer has a lease."""
    values = _renewal(me, lease, every, succeeded)
    return bool(sql.execute(connection, "renew", **values).mappings().first()["known"])


def renew_and_ask(
    me: Registration,
    lease: float,
    *,
    every: float | None = None,
    succeeded: Iterable[str] = (),
    left: float | None = None,
    job_ids: Iterable[int] = (),
) -> Renewed:
    """Extend a worker's lease, even an expired one, and ask what it has to know.

    It is a transaction of its own, in one round trip, since every worker renews every few seconds. What no
    second statement follows cannot hold up the next renewal either, if the network vanishes meanwhile. It
    does not wait for the disk, since where a crash undoes a renewal the one before it still holds.

    Parameters:
        lease: seconds.
        every: seconds between renewals; None: well below half a lease.
        succeeded: the workflows with which this worker has succeeded since it last renewed.
        left: as in `register`; told again each time, since Postgres's clock may be set meanwhile.
        job_ids: the jobs that it asks about, besides those that run in it according to the board.

    Raises:
        BoardUnreachableError: Postgres cannot be reached.
    """
    values = _renewal(me, lease, every, succeeded, left, job_ids)
    rows = engine.one_round_trip(sql.statement("renew"), values, durable=False)
    told: dict[str, Any] = {}
    accounts = []
    for row in rows:
        told = {name: row.pop(name) for name in _TOLD}
        if row["claim_id"] and row["pid"] and (known := bad_rows.state(row["state"])):
            accounts.append(Account(**{**row, "state": known}))
    return Renewed(accounts=accounts, **told)


_TOLD = ("known", "revision", "files_asked", "workdirs_due", "turns_due")


@dataclass(frozen=True)
class Renewed:
    """What the board has said at a renewal.

    Attributes:
        known: False: it no longer knows the worker, or considers it dead, or has given its id to another one.
        revision: that of its schema.
        accounts: the jobs that run in this worker according to the board, and those that it asked about, by
            id. A job that was never claimed is left out.
        files_asked, workdirs_due: whether somebody waits for a file, or a workdir for its removal, be it here
            or elsewhere.
        turns_due: whether it is somebody's turn at recovery.
    """

    known: bool
    revision: str | None
    accounts: list[Account]
    files_asked: bool
    workdirs_due: bool
    turns_due: bool


def _renewal(
    me: Registration,
    lease: float,
    every: float | None,
    succeeded: Iterable[str],
    left: float | None = None,
    job_ids: Iterable[int] = (),
) -> dict[str, Any]:
    return {
        "worker_id": me.worker_id,
        "key": me.key,
        "lease": lease,
        # Whoever was cut off for half a lease may see others as lost that were cut off with it. Where
        # renewals are rarer than that, a gap is a renewal that was missed.
        "gap": max(lease / 2, 1.5 * (every or 0.0)),
        "succeeded": sorted(set(succeeded)),
        "left": None if left is None else min(left, _CENTURY),
        "job_ids": list(job_ids),
    }


def _in(left: float | None) -> ColumnElement[Any] | None:
    """The moment that comes in so many seconds."""
    return None if left is None else func.now() + seconds(min(left, _CENTURY))


_CENTURY = 100 * 365.25 * 86_400


def end(connection: Connection, me: Registration) -> None:
    """Note that a worker has shut down."""
    connection.execute(update(Worker).where(is_worker(me), Worker.ended_at.is_(None)).values(**_ENDED))


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
