"""Limits: how many jobs of a tag, a workflow or a queue, or on a host, may run at the same time.

They are rows of the board, so that all workers and clients obey the same ones. The claim looks at them, and
counts what is running (`choose_job`, in the schema). A job whose limit is full is blocked, and has a row in
the table `throttled`; `admit` makes it pending again when there may be room. A limit of a host keeps no job
from running, but a worker from claiming any: the jobs stay pending, for other hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Text, any_, delete, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY, insert

from simcelery.board.models import Job, Limit, Throttled, Worker
from simcelery.board.reads.jobs import Filter
from simcelery.board.states import State
from simcelery.errors import UsageError
from simcelery.readable import short

KINDS = ("tag", "workflow", "queue", "host")
EVERY_HOST = "host:*"
_MOST = 2**31 - 1
_NAMED = 8  # jobs that are named, of those that use a limit


@dataclass(frozen=True)
class LimitRow:
    """A limit as it stands.

    Attributes:
        used: how many of its jobs are running; more than `most` where it was lowered. Of ``host:*``, on the
            fullest host.
        waiting: how many wait for a place; of a host none do, since others may run them.
        jobs: the ids of the first of those that are running.
    """

    name: str
    most: int
    used: int
    waiting: int
    jobs: tuple[int, ...] = ()


def checked(name: str, most: object) -> tuple[str, int]:
    """A limit that somebody gave.

    Raises:
        UsageError: it is none.
    """
    kind, _, value = name.partition(":")
    if kind not in KINDS or not value or not value.isprintable():
        raise UsageError(
            f"{short(name)} is no limit: write tag:NAME, workflow:NAME, queue:NAME, host:NAME or host:*"
        )
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= _MOST:
        raise UsageError(f"limit {short(name)}: {short(most)} is no number of jobs: write 0 or more")
    return name, most


def put(connection: Connection, given: Mapping[str, int], by: str) -> None:
    """Set these limits. What runs goes on, also where it is more than a limit allows now."""
    for name, most in sorted(given.items()):
        row = insert(Limit).values(name=name, most=most, set_by=by)
        same = {"most": most, "set_by": by, "set_at": func.now()}
        connection.execute(row.on_conflict_do_update(index_elements=[Limit.name], set_=same))


def declare(connection: Connection, given: Mapping[str, int], by: str) -> dict[str, int]:
    """Set those of these limits that the board does not have; it returns the limits of the board before."""
    before = known(connection)
    put(connection, {name: most for name, most in given.items() if name not in before}, by)
    return before


def remove(connection: Connection, names: Iterable[str]) -> list[str]:
    """Remove limits; the names of those that there were. What waits for them is admitted soon."""
    gone = delete(Limit).where(Limit.name.in_(list(names))).returning(Limit.name)
    return sorted(connection.scalars(gone))


def known(connection: Connection) -> dict[str, int]:
    """The limits of the board."""
    return {row.name: row.most for row in connection.execute(select(Limit.name, Limit.most))}


def listed(connection: Connection) -> list[LimitRow]:
    """All limits with what uses them and what waits, by name."""
    waits = select(func.count()).where(Throttled.limit_name == Limit.name, Throttled.woken_at.is_(None))
    rows = connection.execute(
        select(
            Limit.name,
            Limit.most,
            func.limit_used(Limit.name).label("used"),
            waits.correlate(Limit).scalar_subquery().label("waiting"),
        ).order_by(Limit.name)
    )
    return [LimitRow(row.name, row.most, row.used, row.waiting) for row in rows]


def keeping(connection: Connection, job_id: int) -> list[LimitRow]:
    """The limits that keep this job from running: those of its limits that are full."""
    its = select(func.limits_of(Job.workflow, Job.queue, Job.tags)).where(Job.id == job_id)
    names: list[str] = connection.scalar(its) or []
    return [
        replace(row, jobs=_running(connection, row.name))
        for row in (listed(connection) if names else [])
        if row.name in names and row.used >= row.most
    ]


def throttling(connection: Connection, which: Filter) -> list[LimitRow]:
    """The limits that the matching jobs wait for; `waiting`: how many of these do."""
    its = select(Throttled.limit_name, func.count().label("number")).join(Job, Job.id == Throttled.job_id)
    its = its.where(*which.conditions(), Job.state == State.BLOCKED).group_by(Throttled.limit_name)
    numbers = {row.limit_name: row.number for row in connection.execute(its)}
    return [
        replace(row, waiting=numbers[row.name], jobs=_running(connection, row.name))
        for row in (listed(connection) if numbers else [])
        if row.name in numbers
    ]


def is_throttled(connection: Connection, job_id: int) -> bool:
    """Whether the job is blocked by a limit."""
    return bool(connection.scalar(select(Throttled.job_id).where(Throttled.job_id == job_id)))


def full_hosts(connection: Connection) -> dict[int, LimitRow]:
    """The limits that keep live workers from claiming anything, by the id of the worker."""
    if not any(name.startswith("host:") for name in known(connection)):
        return {}
    limit = func.host_limit(Worker.id).table_valued("name", "most", "host").lateral("its")
    used = func.host_used(limit.c.host, None, None)
    live = select(Worker.id, limit.c.name, limit.c.most, used.label("used")).join_from(Worker, limit, true())
    rows = connection.execute(live.where(Worker.ended_at.is_(None), Worker.lease_expires_at > func.now()))
    return {row.id: LimitRow(row.name, row.most, row.used, 0) for row in rows if row.used >= row.most}


def _running(connection: Connection, name: str) -> tuple[int, ...]:
    """The first jobs of a limit that are running."""
    of_it = literal(name) == any_(func.limits_of(Job.workflow, Job.queue, Job.tags, type_=ARRAY(Text)))
    found = select(Job.id).where(Job.state == State.RUNNING, of_it).order_by(Job.id)
    return tuple(connection.scalars(found.limit(_NAMED)))
