"""blocked | scheduled | pending → cancelled, by hand; the worker of a running job is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, select, update

from simcelery.board import interventions
from simcelery.board.clock import not_ahead
from simcelery.board.models import Job, Throttled
from simcelery.board.sql_helpers import among, locked
from simcelery.board.states import ACTIVE, WAITING, State
from simcelery.board.transitions import continuing


def cancel(
    connection: Connection, ids: Iterable[int], *, by: str, running: bool = True
) -> tuple[list[int], list[int]]:
    """blocked | scheduled | pending → cancelled; for a running job, the request is noted.

    So it is with the jobs in which these go on.

    Parameters:
        by: who wants it.
        running: whether jobs that run are meant, too.

    Returns:
        The ids cancelled at once, and those that are running and will be told.
    """
    rows: list[Any] = []
    wanted = list(ids)
    while wanted:
        found = _cancel(connection, wanted, running)
        rows += found
        # Asked for once the rows are held: a job that ends just now may have gone on meanwhile.
        begun = [row.id for row in found if row.state == State.CANCELLED and row.attempt > 0]
        wanted = continuing.of(connection, begun) if begun else []
    interventions.note(connection, "cancel", [row.id for row in rows], by)
    at_once = sorted(row.id for row in rows if row.state == State.CANCELLED)
    connection.execute(delete(Throttled).where(among(Throttled.job_id, at_once)))
    requested = sorted(row.id for row in rows if row.state == State.RUNNING)
    return at_once, requested


def _cancel(connection: Connection, ids: Iterable[int], running: bool) -> Sequence[Any]:
    return connection.execute(
        update(Job)
        .where(
            Job.id.in_(locked(select(Job.id).where(among(Job.id, ids)))),
            Job.state.in_(ACTIVE if running else WAITING),
        )
        .values(
            state=case((Job.state.in_(WAITING), State.CANCELLED), else_=Job.state),
            finished_at=case((Job.state.in_(WAITING), func.now())),
            started_at=not_ahead(Job.started_at),
            cancel_requested_at=func.coalesce(Job.cancel_requested_at, func.now()),
        )
        .returning(Job.id, Job.state, Job.attempt)
    ).all()
