"""Workers and their leases: the right to hold jobs until a moment in time, by Postgres' clock."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, update

from simcelery.board.models import Worker


def _until(lease: float) -> object:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lease)


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
) -> int:
    """Enter a new worker; its id. `lease` in seconds."""
    return connection.execute(
        insert(Worker)
        .values(
            nodename=nodename,
            host=host,
            pid=pid,
            queues=list(queues),
            concurrency=concurrency,
            scheduler_job_id=scheduler_job_id,
            version=version,
            lease_expires_at=_until(lease),
        )
        .returning(Worker.id)
    ).scalar_one()


def renew(connection: Connection, worker_id: int, lease: float) -> bool:
    """Extend a worker's lease, lapsed or not. False: the board no longer knows the worker."""
    renewed = connection.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.ended_at.is_(None))
        .values(renewed_at=func.now(), lease_expires_at=_until(lease))
    )
    return renewed.rowcount == 1


def end(connection: Connection, worker_id: int) -> None:
    """Note that a worker has shut down."""
    connection.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.ended_at.is_(None))
        .values(ended_at=func.now(), lease_expires_at=func.now())
    )


def note(connection: Connection, worker_id: int, message: str | None) -> None:
    """What doctor and explain should say of a worker."""
    connection.execute(update(Worker).where(Worker.id == worker_id).values(note=message))
