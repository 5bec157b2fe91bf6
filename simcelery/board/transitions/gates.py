"""What a gate holds, and what it lets go: pending | scheduled → blocked, and back. Nothing is cancelled.

What is held is blocked, even if it waits for no parent. Each step locks its gate, so that the gate does not
open or close meanwhile, and never waits for a job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, select, update

from simcelery.board import interventions, sql
from simcelery.board.models import Canary, Gate, Job, Throttled
from simcelery.board.sql_helpers import among, by_index, locked
from simcelery.board.states import WAITING, State
from simcelery.board.to_publish import job_to_publish
from simcelery.board.transitions import continuing
from simcelery.board.transitions.settle import ready
from simcelery.board.values import JobToPublish
from simcelery.failpoints import failpoint


class LetGo(NamedTuple):
    """What one step of `let_go` did: how many jobs it moved, and those that are pending now."""

    moved: int
    pending: list[JobToPublish]


def gates_due(connection: Connection) -> list[tuple[int, str]]:
    """The gates at which there is something to do, and what: ``open``, ``hold`` or ``release``."""
    by_index(connection)
    return [(row.id, row.what) for row in sql.execute(connection, "gates_due")]


def open_gate(connection: Connection, gate_id: int) -> bool:
    """Open a gate whose canaries have all succeeded; whether it did. What it holds is moved by `let_go`."""
    _lock(connection, gate_id, opening=True)
    canary, job = Canary.__table__.alias().c, Job.__table__.alias().c
    unproven = exists().where(
        canary.gate_id == Gate.id, job.id == canary.job_id, job.state != State.SUCCEEDED
    )
    opened = connection.execute(
        update(Gate)
        .where(Gate.id == gate_id, Gate.closed_by == "canary", ~unproven)
        .values(closed_by=None, moving=True, changed_at=func.now())
    )
    return opened.rowcount == 1


def release_gates(connection: Connection, gate_ids: Iterable[int]) -> list[int]:
    """Open gates in spite of everything; the ids of those that were closed.

    From now on the fuse counts anew: where it has blown, `fails_left` is negative, so the next failure is
    counted at once.
    """
    opened = {"closed_by": None, "held_by": None, "moving": True, "counts_from": func.now()}
    return _turn(connection, gate_ids, Gate.closed_by.is_not(None), opened)


def release_jobs(connection: Connection, job_ids: Collection[int], by: str) -> list[int]:
    """Take single jobs out from behind their gates: they run, and no fuse counts them. The ids of these."""
    behind = select(Job.id).where(among(Job.id, job_ids), Job.gate_id.is_not(None))
    freed = connection.scalars(
        update(Job)
        .where(Job.id.in_(locked(behind)), Job.state == State.BLOCKED)
        .values(gate_id=None, state=case((Job.unmet > 0, State.BLOCKED), else_=ready()))
        .returning(Job.id)
    )
    released = sorted(freed)
    interventions.note(connection, "release", released, by)
    return released


def close_gates(connection: Connection, gate_ids: Iterable[int], by: str) -> list[int]:
    """Close gates by hand; the ids of those that were open. What waits behind them is moved by `hold`."""
    closed = {"closed_by": "hand", "held_by": by, "moving": False}
    return _turn(connection, gate_ids, Gate.closed_by.is_(None), closed)


def _turn(
    connection: Connection, gate_ids: Iterable[int], when: ColumnElement[bool], values: dict[str, Any]
) -> list[int]:
    """Open or close the gates of which this is true; their ids."""
    ids = sorted(gate_ids)
    for gate_id in ids:
        _lock(connection, gate_id, opening=True)
    turned = connection.scalars(
        update(Gate)
        .where(among(Gate.id, ids), when)
        .values(**values, changed_at=func.now())
        .returning(Gate.id)
    )
    return sorted(turned)


def put_behind(connection: Connection, gate_id: int, job_ids: Collection[int], by: str) -> list[int]:
    """blocked | scheduled | pending → blocked behind this gate, and behind no other; the ids of these.

    So it is with the jobs in which they go on. Nothing is moved if the gate has been opened meanwhile.
    """
    if _lock(connection, gate_id) is None:
        return []
    held: list[int] = []
    wanted = list(job_ids)
    while wanted:
        found = connection.execute(
            update(Job)
            .where(Job.id.in_(locked(select(Job.id).where(among(Job.id, wanted)))), Job.state.in_(WAITING))
            .values(gate_id=gate_id, state=State.BLOCKED, published_at=None, publish_count=0)
            .returning(Job.id, Job.attempt)
        ).all()
        held += [row.id for row in found]
        begun = [row.id for row in found if row.attempt > 0]
        wanted = continuing.of(connection, begun) if begun else []
    connection.execute(delete(Throttled).where(among(Throttled.job_id, held)))
    interventions.note(connection, "hold", held, by)
    return sorted(held)


def hold(connection: Connection, gate_id: int, limit: int) -> int:
    """pending | scheduled → blocked for what has not begun behind a closed gate; at most `limit` of them."""
    by_index(connection)
    if _lock(connection, gate_id) is None:
        return 0
    return len(sql.execute(connection, "hold", gate=gate_id, most=limit).all())


def let_go(connection: Connection, gate_id: int, limit: int) -> LetGo:
    """blocked → pending | scheduled for what waits behind an open gate; at most `limit` of them."""
    by_index(connection)
    if _lock(connection, gate_id) is not None:
        return LetGo(0, [])
    rows = sql.execute(connection, "let_go", gate=gate_id, most=limit).mappings().all()
    throttled = exists().where(Throttled.job_id == Job.id, Throttled.woken_at.is_(None))
    left = exists().where(Job.gate_id == gate_id, Job.state == State.BLOCKED, Job.unmet == 0, ~throttled)
    connection.execute(update(Gate).where(Gate.id == gate_id, ~left).values(moving=False))
    return LetGo(len(rows), [job_to_publish(row) for row in rows if row["state"] == State.PENDING])


def let_go_at_once(
    begin: Callable[[], AbstractContextManager[Connection]], gate_id: int, limit: int
) -> LetGo:
    """`let_go` in a transaction of its own; what is pending now is left to the caller to publish."""
    failpoint("before_release")
    with begin() as connection:
        step = let_go(connection, gate_id, limit)
        failpoint("before_release_commit")
    failpoint("after_release")
    return step


def _lock(connection: Connection, gate_id: int, *, opening: bool = False) -> str | None:
    """What closed the gate; it is locked, against whoever records behind it as well if it is to open."""
    gate = select(Gate.closed_by).where(Gate.id == gate_id)
    return connection.scalar(gate.with_for_update(key_share=not opening))
