"""What closed gates hold, and why: the canaries, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from simcelery.board.gates import is_held
from simcelery.board.models import Attempt, Canary, Gate, Job
from simcelery.board.reads.jobs import Filter, error_of
from simcelery.board.reads.summaries import kind_of_error
from simcelery.board.states import State
from simcelery.board.unreadable import bad_rows

# Failures, and successes, that are read to find out where they happened: the newest.
_LOOKED_AT = 1000


@dataclass(frozen=True)
class CanaryRow:
    """A canary as it stands; `error` is ``type: message``, `host` that of its last attempt."""

    id: int
    state: str
    error: str | None
    host: str | None


@dataclass(frozen=True)
class Kind:
    """The most frequent kind of error of those that failed.

    Attributes:
        error: what they have in common, as ``type: message``;
        jobs: how many of the newest `of` failures are of this kind;
        hosts: where they happened;
        others: hosts where others of the sweep have succeeded.
    """

    error: str
    jobs: int
    of: int
    hosts: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class ClosedGate:
    """A closed gate, and what it holds.

    Attributes:
        held: how many of the jobs that were asked about.
        first, last: the ids between which these lie.
        failed, ended: how many behind it, since it was released last.
    """

    id: int
    workflow: str
    tags: tuple[str, ...]
    closed_by: str
    held: int
    first: int
    last: int
    failed: int = 0
    ended: int = 0
    canaries: tuple[CanaryRow, ...] = ()
    kind: Kind | None = None


def any_closed(connection: Connection) -> bool:
    """Whether any gate is closed, so that it is worth asking further."""
    return bool(connection.scalar(select(select(Gate.id).where(Gate.closed_by.is_not(None)).exists())))


def closed_gates(connection: Connection, which: Filter, most: int = 100) -> list[ClosedGate]:
    """The closed gates that hold jobs which pass the filter, the ones that hold most first."""
    if not any_closed(connection):
        return []
    closed = select(Gate.id).where(Gate.closed_by.is_not(None))
    held = (
        select(
            Job.gate_id,
            func.count().label("held"),
            func.min(Job.id).label("first"),
            func.max(Job.id).label("last"),
        )
        .where(*which.conditions(), is_held(), Job.gate_id.in_(closed))
        .group_by(Job.gate_id)
        .subquery()
    )
    rows = connection.execute(
        select(*Gate.__table__.c, held.c.held, held.c.first, held.c.last)
        .join(held, held.c.gate_id == Gate.id)
        .order_by(held.c.held.desc(), Gate.id)
        .limit(most)
    )
    return [_gate(connection, row) for row in rows.all()]


def gate_of(connection: Connection, job_id: int) -> ClosedGate | None:
    """The closed gate that holds this job."""
    return next(iter(closed_gates(connection, Filter(ids=[job_id]))), None)


def held_jobs(connection: Connection, which: Filter) -> list[tuple[int, int]]:
    """The jobs that pass the filter and are held: each id, ascending, with that of its gate."""
    if not any_closed(connection):
        return []
    closed = select(Gate.id).where(Gate.closed_by.is_not(None))
    held = select(Job.id, Job.gate_id).where(*which.conditions(), is_held(), Job.gate_id.in_(closed))
    return [(row.id, row.gate_id) for row in connection.execute(held.order_by(Job.id))]


def count_held(connection: Connection, which: Filter) -> int:
    """How many jobs that pass the filter are held."""
    if not any_closed(connection):
        return 0
    return connection.scalar(select(func.count()).select_from(Job).where(*which.conditions(), is_held())) or 0


def number_held(connection: Connection, gate_id: int, most: int) -> int:
    """How many jobs the gate holds, counted no further than `most`."""
    some = select(Job.id).where(Job.gate_id == gate_id, is_held()).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def _gate(connection: Connection, row: Any) -> ClosedGate:
    fresh = and_(Job.gate_id == row.id, Job.finished_at > row.counts_from)
    failed, succeeded = (
        connection.scalar(select(func.count()).select_from(Job).where(fresh, Job.state == state)) or 0
        for state in (State.FAILED, State.SUCCEEDED)
    )
    return ClosedGate(
        id=row.id,
        workflow=row.workflow,
        tags=tuple(bad_rows.words(row.tags)),
        closed_by=row.closed_by,
        held=row.held,
        first=row.first,
        last=row.last,
        failed=failed,
        ended=failed + succeeded,
        canaries=_canaries(connection, row.id) if row.closed_by == "canary" else (),
        kind=_kind(connection, fresh) if failed else None,
    )


def _canaries(connection: Connection, gate_id: int) -> tuple[CanaryRow, ...]:
    ended = Attempt.__table__.alias()
    rows = connection.execute(
        select(Job.id, Job.state, Job.error_type, Job.error_message, ended.c.host)
        .select_from(Canary)
        .join(Job, Job.id == Canary.job_id)
        .outerjoin(ended, and_(ended.c.job_id == Job.id, ended.c.attempt == Job.attempt))
        .where(Canary.gate_id == gate_id)
        .order_by(Job.id)
    )
    return tuple(CanaryRow(row.id, row.state, error_of(row), row.host) for row in rows)


def _kind(connection: Connection, fresh: ColumnElement[bool]) -> Kind | None:
    newest = (
        select(Job.id, Job.attempt, Job.error_type, Job.error_message, Job.state)
        .where(fresh, Job.state == State.FAILED)
        .order_by(Job.id.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    its_type, its_message = kind_of_error(newest.c)
    rows = connection.execute(
        select(
            newest.c.error_type,
            newest.c.error_message,
            Attempt.host,
            its_type.label("kind"),
            its_message.label("alike"),
        ).outerjoin(Attempt, and_(Attempt.job_id == newest.c.id, Attempt.attempt == newest.c.attempt))
    ).all()
    kinds: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        kinds.setdefault((row.kind, row.alike), []).append(row)
    if not kinds:
        return None
    alike = max(kinds.values(), key=len)
    return Kind(
        error=_common(alike),
        jobs=len(alike),
        of=len(rows),
        hosts=_hosts(alike),
        others=_hosts(_succeeded(connection, fresh)),
    )


def _common(alike: Sequence[Any]) -> str:
    """Their error, ``type: message``; what differs among them is ``#`` or ``<path>``."""
    errors = {error_of(row) for row in alike}
    return errors.pop() or "" if len(errors) == 1 else f"{alike[0].kind}: {alike[0].alike}"


def _succeeded(connection: Connection, fresh: ColumnElement[bool]) -> Sequence[Any]:
    newest = (
        select(Job.id, Job.attempt)
        .where(fresh, Job.state == State.SUCCEEDED)
        .order_by(Job.id.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    ended = and_(Attempt.job_id == newest.c.id, Attempt.attempt == newest.c.attempt)
    return connection.execute(select(Attempt.host).join(newest, ended).distinct()).all()


def _hosts(rows: Sequence[Any]) -> tuple[str, ...]:
    return tuple(sorted({row.host for row in rows if row.host}))
