"""A job's story: what the board says about it, and about everything that affects it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simcelery.errors import JobNotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.board.limits import LimitRow
    from simcelery.board.reads.clusters import Troubled, Waiting
    from simcelery.board.reads.expected import Expected
    from simcelery.board.reads.gates import ClosedGate
    from simcelery.board.reads.jobs import JobRow
    from simcelery.board.reads.needs import Kept
    from simcelery.board.sources import Submitted
    from simcelery.needs import Needs


@dataclass(frozen=True)
class Story:
    """A job and what affects it.

    Attributes:
        now, started_at: the time by Postgres's clock, and when Postgres was started.
        lease: the setting, in seconds.
        workers: the live workers, as `reads.workers` returns them.
        worker: the worker that last claimed the job.
        parents: states of the job's parents, by id.
        any_end: those of them that need not succeed.
        goes_on_in: the one in which it goes on, whose result becomes its own.
        before: how many pending jobs of its queue come before it.
        last: its last attempt that has ended.
        submitted: the source of its workflow here; where there is none, that of the last submission.
        gate: the closed gate that holds it.
        limits: the limits that are full and keep it from running.
        throttled: whether it is blocked by a limit, or has been until just now.
        full_hosts: the full limits of hosts, by the id of each live worker there.
        needs: what it needs of its node.
        escalations: what it has got for later attempts.
        granted: what running jobs have been given together, by the id of their worker.
        kept: the jobs for which room is kept on workers.
        clusters: those that are paused, or that nobody looks after.
        allocations: what waits of each cluster.
        expected: how long it is expected to take.
        too_short: clusters that would start workers for it, were their walltime not too short: for how many
            seconds these run jobs. Whoever can ask clusters fills it in.
        continues: from the files of which attempts its current one went on.
    """

    job: JobRow
    now: dt.datetime
    started_at: dt.datetime
    lease: float
    workers: list[dict[str, Any]] = field(default_factory=list)
    worker: dict[str, Any] | None = None
    parents: dict[int, str] = field(default_factory=dict)
    any_end: frozenset[int] = frozenset()
    goes_on_in: int | None = None
    before: int = 0
    last: dict[str, Any] | None = None
    submitted: dict[str, Submitted] = field(default_factory=dict)
    gate: ClosedGate | None = None
    limits: list[LimitRow] = field(default_factory=list)
    throttled: bool = False
    full_hosts: dict[int, LimitRow] = field(default_factory=dict)
    needs: Needs | None = None
    escalations: list[dict[str, Any]] = field(default_factory=list)
    granted: dict[int, Needs] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    expected: Expected | None = None
    continues: list[dict[str, Any]] = field(default_factory=list)
    clusters: list[Troubled] = field(default_factory=list)
    too_short: dict[str, float] = field(default_factory=dict)
    allocations: list[Waiting] = field(default_factory=list)


def read(number: int) -> Story:
    """Read a job's story from the board.

    Raises:
        JobNotFoundError: it is not on the board.
    """
    from simcelery.board import engine

    with engine.begin() as connection:
        return of(connection, number)


def of(connection: Connection, number: int) -> Story:
    """The same within a transaction."""
    from simcelery.board import limits, reads, sources
    from simcelery.board.reads import gates
    from simcelery.board.reads.clusters import troubled, waiting
    from simcelery.board.reads.expected import expected
    from simcelery.describe.outdated import as_here
    from simcelery.settings import get_settings

    job = reads.job(connection, number)
    if job is None:
        raise JobNotFoundError(f"there is no job {number}")
    started_at, now = reads.started(connection)
    parents = reads.parents_of(connection, number)
    states = reads.states(connection, parents.ids)
    live = reads.workers(connection, live_only=True)
    submitted = sources.submitted(connection, [job.workflow])
    return Story(
        job=job,
        now=now,
        started_at=started_at,
        lease=get_settings().lease,
        workers=live,
        worker=reads.worker_of(connection, number),
        parents={parent: str(state) for parent, state in states.items()},
        any_end=frozenset(parents.any_end),
        goes_on_in=parents.goes_on_in,
        before=reads.number_before(connection, job) if job.state == "pending" else 0,
        last=reads.last_attempts(connection, [number]).get(number),
        submitted=as_here(live, submitted, [job.workflow]),
        gate=gates.gate_of(connection, number) if job.held else None,
        limits=limits.keeping(connection, number) if job.state in ("pending", "blocked") else [],
        throttled=job.state == "blocked" and limits.is_throttled(connection, number),
        full_hosts=limits.full_hosts(connection) if job.state == "pending" else {},
        needs=reads.needs(connection, number),
        escalations=reads.escalations(connection, number),
        granted=reads.granted(connection) if job.state == "pending" else {},
        kept=reads.kept(connection) if job.state == "pending" else [],
        clusters=troubled(connection) if job.state == "pending" else [],
        allocations=waiting(connection) if job.state == "pending" else [],
        expected=expected(connection, number) if job.state == "pending" else None,
        continues=[one for one in reads.restarts(connection, number) if one["attempt"] == job.attempt],
    )


def of_workers(number: int) -> Story | None:
    """As much of a job's story as tells whether a live worker may run it; None: it is not on the board."""
    from simcelery.board import engine, reads
    from simcelery.board.reads.expected import expected
    from simcelery.settings import get_settings

    with engine.begin() as connection:
        if (job := reads.job(connection, number)) is None:
            return None
        started_at, now = reads.started(connection)
        return Story(
            job=job,
            now=now,
            started_at=started_at,
            lease=get_settings().lease,
            workers=reads.workers(connection, live_only=True),
            needs=reads.needs(connection, number),
            expected=expected(connection, number),
        )
