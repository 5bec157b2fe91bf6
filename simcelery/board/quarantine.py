"""What workers need to know about each other, and which of them take no jobs for now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, select, update

from simcelery.board.clock import MARGIN
from simcelery.board.leases import is_live, is_worker
from simcelery.board.models import Worker
from simcelery.board.unreadable import bad_rows
from simcelery.board.values import Registration


def others_succeeded(
    connection: Connection, worker_id: int, workflows: Iterable[str], within_seconds: float
) -> list[str]:
    """Those of the workflows with which another live worker, not in quarantine, has recently succeeded."""
    others = connection.execute(
        select(Worker.succeeded, func.now().label("now")).where(
            is_live(), Worker.quarantined_at.is_(None), Worker.id != worker_id
        )
    ).all()

    def lately(name: str) -> bool:
        values = ((bad_rows.named_values(one.succeeded).get(name), one.now) for one in others)
        moments = ((bad_rows.moment(value), now) for value, now in values)
        return any(then and -MARGIN <= (now - then).total_seconds() < within_seconds for then, now in moments)

    return [name for name in workflows if lately(name)]


def enter(connection: Connection, me: Registration, workflows: Sequence[str], note: str) -> bool:
    """Put a worker in quarantine, unless too many are there already.

    Of the live workers that could run these jobs instead, itself included, at most half may be in
    quarantine: if all fail, the fault is not the workers'. Those are the workers that share a queue with it
    and know the workflow.

    Parameters:
        workflows: those with which it fails and others succeed; for one of them enough workers must be left.

    Returns:
        Whether it is in quarantine now.
    """
    peers = _lock_peers(connection, me, workflows)
    mine = [peer for peer in peers if peer.id == me.worker_id]
    if not mine:
        return False
    if mine[0].quarantined_at is None:
        if not any(_may_spare_one(peers, workflow) for workflow in workflows):
            return False
        withdraw(connection, me, note)
    return True


def _may_spare_one(peers: Sequence[Any], workflow: str) -> bool:
    knowing = [peer for peer in peers if workflow in peer.workflows]
    quarantined = [peer for peer in knowing if peer.quarantined_at is not None]
    return 2 * (len(quarantined) + 1) <= len(knowing)


def withdraw(connection: Connection, me: Registration, note: str) -> None:
    """Note that a worker takes no jobs, and why."""
    since = func.coalesce(Worker.quarantined_at, func.now())
    connection.execute(update(Worker).where(is_worker(me)).values(quarantined_at=since, note=note))


def lift(connection: Connection, me: Registration) -> None:
    """Note that a worker takes jobs again."""
    connection.execute(update(Worker).where(is_worker(me)).values(quarantined_at=None, note=None))


def _lock_peers(connection: Connection, me: Registration, workflows: Sequence[str]) -> Sequence[Any]:
    """The live workers that share a queue with this one, and know one of these workflows.

    They are locked, so that of two workers put in quarantine at the same time, the second sees the first.
    """
    queues = connection.scalar(select(Worker.queues).where(is_worker(me)))
    shares = and_(Worker.queues.overlap(queues or []), Worker.workflows.overlap(list(workflows)))
    return connection.execute(
        select(Worker.id, Worker.workflows, Worker.quarantined_at)
        .where(is_live(), shares)
        .order_by(Worker.id)
        .with_for_update()
    ).all()
