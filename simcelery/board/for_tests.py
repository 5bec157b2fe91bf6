"""What only tests do to a board: empty it, let time pass on it, and take the next job from it.

Called by `simcelery.testing`, on the servers that it started itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, text

from simcelery.board.models import Base, Job, Worker
from simcelery.board.sql_helpers import among
from simcelery.board.states import State
from simcelery.board.to_publish import TO_PUBLISH, job_to_publish
from simcelery.board.values import JobToPublish

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

_CELERYS_OWN = ("celery_taskmeta", "celery_tasksetmeta")
_FEW = 1_000_000  # bytes

_TIMES = text(
    "SELECT quote_ident(table_name) AS name, array_agg(quote_ident(column_name)) AS columns "
    "FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
    "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
    "AND data_type LIKE 'timestamp%' GROUP BY table_name ORDER BY table_name"
)
_STILL_RENEWED = text(
    "UPDATE workers SET renewed_at = renewed_at + make_interval(secs => :by), "
    "lease_expires_at = lease_expires_at + make_interval(secs => :by) WHERE id = ANY(:live)"
)


def contents(connection: Connection) -> Rows:
    """The rows of all tables: of a new board, those that belong to its schema."""
    tables = Base.metadata.sorted_tables
    found = {table.name: connection.execute(select(table)).mappings().all() for table in tables}
    return {name: [dict(row) for row in rows] for name, rows in found.items() if rows}


def empty(connection: Connection, but: Rows) -> None:
    """Delete all rows `but` these; the next job is job 1."""
    # To truncate costs as much for three rows as for a million: each index gets a new file.
    sizes = "SELECT pg_relation_size('jobs') + pg_relation_size('attempts')"
    if (connection.scalar(text(sizes)) or 0) > _FEW:
        connection.execute(text("TRUNCATE jobs CASCADE"))
    tables = Base.metadata.sorted_tables
    names = [*(table.name for table in reversed(tables)), *_CELERYS_OWN]
    restarts = [
        f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), 1, false)"
        for table in tables
        for column in table.columns
        if column.identity is not None
    ]
    connection.execute(text("; ".join([*(f"DELETE FROM {name}" for name in names), *restarts])))
    for table in tables:
        if rows := but.get(table.name):
            connection.execute(insert(table), [dict(row) for row in rows])


def let_pass(connection: Connection, by: float, live: Sequence[int]) -> None:
    """Move all times on the board into the past, as if time had passed.

    Parameters:
        by: seconds.
        live: the ids of workers that would have renewed their leases meanwhile.
    """
    # Nobody claims or renews meanwhile: it would lock in another order.
    connection.execute(text("LOCK TABLE workers, jobs IN EXCLUSIVE MODE"))
    for name, columns in connection.execute(_TIMES).all():
        changes = ", ".join(f"{column} = {column} - make_interval(secs => :by)" for column in columns)
        connection.execute(text(f"UPDATE {name} SET {changes}"), {"by": by})
    connection.execute(_STILL_RENEWED, {"by": by, "live": list(live)})


def workers_of(connection: Connection, pids: Sequence[int]) -> list[int]:
    """The ids of the workers with these pids."""
    return list(connection.scalars(select(Worker.id).where(among(Worker.pid, pids))))


def next_pending(
    connection: Connection, workflows: Iterable[str], but: Iterable[int] = ()
) -> JobToPublish | None:
    """The pending job of one of these workflows that a worker would run first, `but` not these."""
    row = connection.execute(
        select(*TO_PUBLISH)
        .where(Job.state == State.PENDING, Job.workflow.in_(list(workflows)), Job.id.not_in(list(but)))
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
    ).one_or_none()
    return job_to_publish(row._mapping) if row else None
