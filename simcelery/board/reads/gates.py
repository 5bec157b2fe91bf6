"""What closed gates hold, and why: the canaries, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcelery.board import sql
from simcelery.board.reads.alike import kind_of_error
from simcelery.board.reads.filters import Filter
from simcelery.board.reads.jobs import error_of
from simcelery.board.reads.rules import HELD
from simcelery.board.sql import Reader
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
        held_by: who has closed it by hand.
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
    held_by: str | None = None


def any_closed(connection: Reader) -> bool:
    """Whether any gate is closed, so that it is worth asking further."""
    closed = connection.exec_driver_sql("SELECT EXISTS (SELECT FROM gates WHERE closed_by IS NOT NULL)")
    return bool(closed.scalar())


# Jobs that are held, of those that pass a filter: Postgres finds them by their gates.
_HELD = f"{HELD} AND jobs.gate_id IN (SELECT id FROM gates WHERE closed_by IS NOT NULL)"


def closed_gates(connection: Reader, which: Filter, most: int = 100) -> list[ClosedGate]:
    """The closed gates that hold jobs which pass the filter, the ones that hold most first."""
    if not any_closed(connection):
        return []
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"""
        SELECT gates.id, gates.workflow, gates.tags, gates.closed_by, gates.held_by, gates.counts_from,
          held.number AS held, held.first, held.last
        FROM gates JOIN (
          SELECT jobs.gate_id, count(*) AS number, min(jobs.id) AS first, max(jobs.id) AS last
          FROM jobs WHERE {wanted.text} AND {_HELD} GROUP BY jobs.gate_id
        ) AS held ON held.gate_id = gates.id
        ORDER BY held.number DESC, gates.id LIMIT %(most)s
        """,
        {**wanted.values, "most": most},
    )
    return [_gate(connection, row) for row in rows.all()]


def gate_of(connection: Reader, job_id: int) -> ClosedGate | None:
    """The closed gate that holds this job."""
    return next(iter(closed_gates(connection, Filter(ids=[job_id]))), None)


def held_jobs(connection: Reader, which: Filter) -> list[tuple[int, int]]:
    """The jobs that pass the filter and are held: each id, ascending, with that of its gate."""
    if not any_closed(connection):
        return []
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"SELECT jobs.id, jobs.gate_id FROM jobs WHERE {wanted.text} AND {_HELD} ORDER BY jobs.id",
        wanted.values,
    )
    return [(row.id, row.gate_id) for row in rows]


def waiting_jobs(connection: Reader, which: Filter) -> list[tuple[int, str, int | None]]:
    """The jobs that pass the filter and wait, and that no gate keeps from beginning.

    Each with its id, ascending, its workflow, and the open gate that it is behind. A gate that is closed lets
    its canaries begin, and what has begun before.
    """
    wanted = which.clause()
    rows = connection.exec_driver_sql(
        f"SELECT jobs.id, jobs.workflow, CASE WHEN {_CLOSED_BY} IS NULL THEN jobs.gate_id END AS gate "
        f"FROM jobs WHERE {wanted.text} AND {_MAY_BEGIN} ORDER BY jobs.id",
        wanted.values,
    )
    return [(row.id, row.workflow, row.gate) for row in rows]


def count_waiting(connection: Reader, which: Filter) -> int:
    """How many these are."""
    wanted = which.clause()
    waiting = f"SELECT count(*) FROM jobs WHERE {wanted.text} AND {_MAY_BEGIN}"
    return int(connection.exec_driver_sql(waiting, wanted.values).scalar())


_WAITS = "jobs.state IN ('pending', 'scheduled', 'blocked')"
_CLOSED_BY = "(SELECT closed_by FROM gates WHERE gates.id = jobs.gate_id)"
_MAY_BEGIN = f"({_WAITS} AND ({_CLOSED_BY} IS NULL OR may_begin(jobs.gate_id, jobs.id, jobs.attempt)))"


def number_waiting(connection: Reader, gate_id: int, most: int) -> int:
    """How many jobs wait behind an open gate, counted no further than `most`."""
    some = f"SELECT FROM jobs WHERE jobs.gate_id = %(gate_id)s AND {_WAITS} LIMIT %(most)s"
    waiting = connection.exec_driver_sql(
        f"SELECT count(*) FROM ({some}) AS waiting", {"gate_id": gate_id, "most": most}
    )
    return int(waiting.scalar())


def count_held(connection: Reader, which: Filter) -> int:
    """How many jobs that pass the filter are held."""
    if not any_closed(connection):
        return 0
    wanted = which.clause()
    held = f"SELECT count(*) FROM jobs WHERE {wanted.text} AND {HELD}"
    return int(connection.exec_driver_sql(held, wanted.values).scalar())


def number_held(connection: Reader, gate_id: int, most: int) -> int:
    """How many jobs the gate holds, counted no further than `most`."""
    some = f"SELECT FROM jobs WHERE jobs.gate_id = %(gate_id)s AND {HELD} LIMIT %(most)s"
    held = connection.exec_driver_sql(
        f"SELECT count(*) FROM ({some}) AS held", {"gate_id": gate_id, "most": most}
    )
    return int(held.scalar())


# Of the jobs behind a gate, those that ended after it was released last.
_FRESH = "jobs.gate_id = %(gate_id)s AND jobs.finished_at > %(counts_from)s"


def _gate(connection: Reader, row: Any) -> ClosedGate:
    fresh = {"gate_id": row.id, "counts_from": row.counts_from}
    failed, succeeded = (
        connection.exec_driver_sql(
            f"SELECT count(*) FROM jobs WHERE {_FRESH} AND jobs.state = %(state)s", {**fresh, "state": state}
        ).scalar()
        for state in ("failed", "succeeded")
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
        held_by=row.held_by,
    )


def _canaries(connection: Reader, gate_id: int) -> tuple[CanaryRow, ...]:
    rows = sql.execute(connection, "canaries_of", gate_id=gate_id)
    return tuple(CanaryRow(row.id, row.state, error_of(row), row.host) for row in rows)


def _kind(connection: Reader, fresh: Mapping[str, Any]) -> Kind | None:
    its_type, its_message = kind_of_error("newest")
    rows = connection.exec_driver_sql(
        f"""
        SELECT newest.error_type, newest.error_message, attempts.host,
          {its_type} AS kind, {its_message} AS alike
        FROM (
          SELECT jobs.id, jobs.attempt, jobs.error_type, jobs.error_message, jobs.state FROM jobs
          WHERE {_FRESH} AND jobs.state = 'failed' ORDER BY jobs.id DESC LIMIT {_LOOKED_AT}
        ) AS newest
        LEFT JOIN attempts ON attempts.job_id = newest.id AND attempts.attempt = newest.attempt
        """,
        fresh,
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


def _succeeded(connection: Reader, fresh: Mapping[str, Any]) -> Sequence[Any]:
    found: Sequence[Any] = connection.exec_driver_sql(
        f"""
        SELECT DISTINCT attempts.host FROM (
          SELECT jobs.id, jobs.attempt FROM jobs
          WHERE {_FRESH} AND jobs.state = 'succeeded' ORDER BY jobs.id DESC LIMIT {_LOOKED_AT}
        ) AS newest
        JOIN attempts ON attempts.job_id = newest.id AND attempts.attempt = newest.attempt
        """,
        fresh,
    ).all()
    return found


def _hosts(rows: Sequence[Any]) -> tuple[str, ...]:
    return tuple(sorted({row.host for row in rows if row.host}))
