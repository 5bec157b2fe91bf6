"""Allocations: the batch jobs of clusters. Each is recorded before it is submitted.

    [*] → submitting      recorded, under a name that nobody else has
    submitting → waiting  the scheduler has taken it, or lists its name
    submitting → ended    it was refused; or nobody has submitted it, or the scheduler never got it
    waiting → running     the scheduler says so, or a worker of it is there
    waiting | running → ended    the scheduler says how it ended, or no longer lists it
    ended → waiting | running    it was believed to be gone, and the scheduler lists it after all

What a scheduler does not say is no end: only of looks that succeeded does it count that something was not
listed, and of several of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    any_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from simcelery.board import clusters, use
from simcelery.board.models import Allocation, Cluster, Job, Worker
from simcelery.board.sql_helpers import among, seconds
from simcelery.board.states import Cause

# So many seconds and looks without being listed, and it is gone: a scheduler may list late what it took.
_GONE_AFTER, _GONE_AFTER_LOOKS = 60.0, 3
# How long what has ended may still turn out to live.
REMEMBERED = 7 * 86400.0

# How an allocation may end, besides a scheduler's causes. Not submitted: whoever recorded it has died before.
REFUSED, GONE, NOT_SUBMITTED = "refused", "gone", "not_submitted"
# Ends of which it is not certain that all of its processes have ended. Of a node that failed the scheduler
# has only heard nothing: behind a network that is cut, what runs there runs on.
_UNCERTAIN = (REFUSED, GONE, NOT_SUBMITTED, "node_failure")
# What a scheduler calls so is the same for an attempt.
_CAUSES = {"walltime": Cause.WALLTIME, "out_of_memory": Cause.OUT_OF_MEMORY}
# Ends that are nobody's fault. Any other counts if no worker had come; and a failure if it came this soon.
_NO_FAULT = ("preempted", NOT_SUBMITTED)
_SOON = 60.0  # seconds
# Seconds after which a worker without jobs is ended where the work decides; others have left long before.
_IDLE = 300.0


@dataclass(frozen=True)
class Observed:
    """What a scheduler tells of one batch job: see `simcelery.schedulers.Seen`.

    Attributes:
        state: waiting, running or ended; None: that cannot be told.
        starts_at, ends_at: when it did, or is expected to.
        cause, told: how it ended, if it has and that is known.
        never_starts: it waits for what does not come by itself.
    """

    name: str
    scheduler_id: str
    state: str | None
    word: str = ""
    reason: str | None = None
    never_starts: bool = False
    hosts: tuple[str, ...] = ()
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None
    cause: str | None = None
    told: str | None = None


class AllocationRow(NamedTuple):
    """An allocation as it stands. `workers`: how many workers it has had; `no_worker_at`: see `use`."""

    name: str
    cluster: str
    scheduler_id: str | None
    state: str
    word: str | None
    reason: str | None
    hosts: list[str]
    recorded_at: dt.datetime
    starts_at: dt.datetime | None
    ends_at: dt.datetime | None
    seen_at: dt.datetime
    missed: int
    cancel_requested_at: dt.datetime | None
    ended_at: dt.datetime | None
    cause: str | None
    told: str | None
    tail: str | None
    no_worker_at: dt.datetime | None
    workers: int


def plan(
    connection: Connection, cluster: str, new_name: Callable[[], str], cores: int | None = None
) -> list[str]:
    """Record the allocations that a cluster lacks; the names of those to submit now.

    Of several that plan at once, the second finds what the first has recorded. A paused cluster tries one,
    beside those whose workers have stayed.

    Parameters:
        cores: what each asks for, on all of its nodes.
    """
    row = connection.execute(
        select(Cluster.wanted, Cluster.state, (Cluster.next_at <= func.now()).label("due"), Cluster.next_at)
        .where(Cluster.name == cluster)
        .with_for_update()
    ).one_or_none()
    if row is None or row.state == "stopped" or (row.next_at is not None and not row.due):
        return []
    stayed = select(Worker.id).where(Worker.allocation == Allocation.name, _stayed()).exists()
    has_stayed = and_(Allocation.state == "running", stayed)
    there = connection.execute(
        select(func.count(), func.count().filter(~has_stayed).label("tried")).where(_counts(cluster))
    ).one()
    lacks = row.wanted - there.count
    names = [new_name() for _ in range(min(lacks, 1 - there.tried) if row.state == "paused" else lacks)]
    if names:
        about = {"cluster": cluster, "cores": cores}
        connection.execute(insert(Allocation), [{**about, "name": name} for name in names])
    return names


def may_submit(connection: Connection, name: str) -> bool:
    """Whether it is still to be submitted: asked just before, since others give up what takes too long."""
    still = (
        update(Allocation)
        .where(Allocation.name == name, Allocation.state == "submitting")
        .where(Allocation.cancel_requested_at.is_(None))
        .values(seen_at=func.now())
        .returning(Allocation.id)
    )
    return connection.scalar(still) is not None


def withdraw(connection: Connection, names: Sequence[str]) -> None:
    """Forget allocations that whoever recorded them has not submitted, and will not."""
    never = and_(Allocation.name.in_(names), Allocation.state == "submitting")
    connection.execute(delete(Allocation).where(never, Allocation.scheduler_id.is_(None)))


def submitted(connection: Connection, name: str, scheduler_id: str) -> None:
    """submitting → waiting: the scheduler has taken it."""
    connection.execute(
        update(Allocation)
        .where(Allocation.name == name, Allocation.scheduler_id.is_(None))
        .values(
            scheduler_id=scheduler_id,
            seen_at=func.now(),
            missed=0,
            state=case((Allocation.state == "submitting", "waiting"), else_=Allocation.state),
        )
    )


def unclear(connection: Connection, name: str, told: str) -> None:
    """Note what was said instead of a yes or a no when it was submitted."""
    still = and_(Allocation.name == name, Allocation.state == "submitting")
    connection.execute(update(Allocation).where(still).values(reason=told))


def refused(connection: Connection, name: str, why: str) -> None:
    """submitting → ended: the scheduler said no."""
    _end(connection, name, REFUSED, why, Allocation.state == "submitting")


def too_many(connection: Connection, cluster: str, may_idle: bool = False) -> list[AllocationRow]:
    """Request the end of what a cluster has more than it wants; all whose end is requested and has not come.

    Those that wait go first, then those without a worker or a job, the newest before others. Where the work
    decides, those that run stay: their workers leave by themselves when they have nothing to do. If they were
    started to stay, they are ended after some minutes without a job.

    Parameters:
        may_idle: where the work decides, their workers alone know when to leave.
    """
    row = connection.execute(
        select(Cluster.wanted, Cluster.least, Cluster.state).where(Cluster.name == cluster).with_for_update()
    ).one_or_none()
    wanted = row.wanted if row else 0
    _note_those_with_a_worker(connection, cluster)
    # What has no worker stays beside the one that was submitted for it, unless nothing is wanted.
    beside = connection.scalar(select(func.count()).where(_stays(cluster), ~_counts(cluster))) or 0
    order = case(
        (Allocation.state != "running", 3),
        (Allocation.no_worker_at.is_not(None), 2),
        (Allocation.idle_since.is_not(None), 1),
        else_=0,
    )
    excess = select(Allocation.id).where(_stays(cluster)).order_by(order, Allocation.id)
    excess = excess.offset(wanted + beside if wanted else 0)
    request = update(Allocation).where(Allocation.id.in_(excess))
    if row is not None and row.least is not None and row.state != "stopped":
        ends = Allocation.state != "running"
        if not may_idle:
            ends = or_(ends, Allocation.idle_since < func.now() - seconds(_IDLE))
        request = request.where(ends)
    connection.execute(request.values(cancel_requested_at=func.now()))
    return _rows(
        connection,
        Allocation.cluster == cluster,
        Allocation.cancel_requested_at.is_not(None),
        Allocation.state != "ended",
    )


def _note_those_with_a_worker(connection: Connection, cluster: str) -> None:
    """submitting | waiting → running if a worker is there: the look may be old, or the scheduler's list."""
    there = select(Worker.id).where(
        Worker.allocation == Allocation.name, Worker.ended_at.is_(None), Worker.lease_expires_at > func.now()
    )
    waits = and_(_stays(cluster), Allocation.state.in_(("submitting", "waiting")))
    connection.execute(update(Allocation).where(waits, there.exists()).values(state="running"))


def give_up(connection: Connection, cluster: str, host: str, silence: float) -> bool:
    """Take all of a cluster for gone that only a certain host could tell of, if that host is gone.

    It is, if for so many seconds nobody has looked after the cluster nor any worker of it had a lease.
    """
    since = func.now() - seconds(silence)
    looked_after = select(Cluster.name).where(Cluster.name == cluster, Cluster.round_at > since)
    lives = select(Worker.id).join(Allocation, Allocation.name == Worker.allocation)
    lives = lives.where(Allocation.cluster == cluster, Allocation.state != "ended")
    lives = lives.where(Worker.ended_at.is_(None), Worker.lease_expires_at > since)
    if connection.scalar(select(or_(looked_after.exists(), lives.exists()))):
        return False
    for row in listed(connection, cluster):
        _end(connection, row.name, GONE, f"{host} is gone, and nobody else can tell of it")
    return True


def observe(connection: Connection, cluster: str, seen: Sequence[Observed]) -> list[AllocationRow]:
    """Note what one look at the scheduler has told, which lists all that it knows of.

    Returns:
        Those that it did not list, and that are not gone yet: how they ended may be asked for.
    """
    for one in seen:
        _note(connection, cluster, one)
    names = [one.name for one in seen]
    missing = and_(Allocation.cluster == cluster, Allocation.state != "ended", Allocation.name.not_in(names))
    connection.execute(update(Allocation).where(missing).values(missed=Allocation.missed + 1))
    gone = and_(
        missing,
        Allocation.missed >= _GONE_AFTER_LOOKS,
        Allocation.seen_at < func.now() - seconds(_GONE_AFTER),
    )
    for row in _rows(connection, gone):
        if row.state == "submitting" and row.reason:  # it may have been a no, today as tomorrow
            _end(connection, row.name, GONE, f"the scheduler does not know it, and had said: {row.reason}")
        elif row.state == "submitting":
            _end(connection, row.name, NOT_SUBMITTED, "the scheduler does not know it")
        else:
            _end(connection, row.name, GONE, "the scheduler does not list it any more, nor how it ended")
    use.note(connection, cluster)
    if connection.scalar(select(_has_come(cluster))):
        clusters.worked(connection, cluster)
    return _rows(connection, missing)


def _has_come(cluster: str) -> Any:
    """Whether a worker has come since the last failure, of something that still runs, and has stayed."""
    failed_at = select(Cluster.failed_at).where(Cluster.name == cluster).scalar_subquery()
    since = or_(failed_at.is_(None), Worker.started_at > failed_at)
    of_it = and_(Allocation.cluster == cluster, Allocation.state == "running")
    found = select(Worker.id).join(Allocation, Allocation.name == Worker.allocation)
    return found.where(of_it, since, _stayed()).exists()


def _stayed() -> ColumnElement[bool]:
    """Whether a worker did not only come just now."""
    return Worker.renewed_at > Allocation.starts_at + seconds(_SOON)


def ended(
    connection: Connection,
    name: str,
    cause: str,
    told: str,
    began: dt.datetime | None = None,
    at: dt.datetime | None = None,
) -> None:
    """waiting | running → ended, as the scheduler says; and when it ran, where it says that too."""
    _end(connection, name, cause, told, began=began, at=at)


def keep_tail(connection: Connection, name: str, tail: str) -> None:
    """Keep the last lines of the output of one that has ended."""
    connection.execute(update(Allocation).where(Allocation.name == name).values(tail=tail))


def listed(connection: Connection, cluster: str, ended_within: float = 0.0) -> list[AllocationRow]:
    """The allocations of a cluster, oldest first: those that have not ended, or only so many seconds ago."""
    recent = and_(Allocation.state == "ended", Allocation.ended_at > func.now() - seconds(ended_within))
    return _rows(connection, Allocation.cluster == cluster, or_(Allocation.state != "ended", recent))


def find(connection: Connection, name: str) -> AllocationRow | None:
    """The newest allocation of this name, or with this number of the scheduler."""
    found = _rows(connection, or_(Allocation.name == name, Allocation.scheduler_id == name))
    return found[-1] if found else None


def remembered(connection: Connection, cluster: str) -> set[str]:
    """The names of all that may still be listed, also of those that are believed to be gone."""
    recent = and_(Allocation.state == "ended", Allocation.ended_at > func.now() - seconds(REMEMBERED))
    of_it = and_(Allocation.cluster == cluster, or_(Allocation.state != "ended", recent))
    return set(connection.scalars(select(Allocation.name).where(of_it)))


class Over(NamedTuple):
    """An allocation that has ended, and how."""

    name: str
    cause: str


def over(connection: Connection, cluster: str, names: Sequence[str], older_than: float) -> list[Over]:
    """Those of these that ended more than so many seconds ago, oldest first.

    One that is only believed to be gone may still turn out to live.
    """
    among: Any = literal(list(names), ARRAY(Text))
    age = case((Allocation.cause == GONE, max(older_than, REMEMBERED)), else_=older_than)
    found = (
        select(Allocation.name, Allocation.cause)
        .where(Allocation.cluster == cluster, Allocation.state == "ended", Allocation.name == any_(among))
        .where(Allocation.ended_at < func.now() - seconds(age))
        .order_by(Allocation.id)
    )
    return [Over(row.name, row.cause or "") for row in connection.execute(found)]


class LostWorkers(NamedTuple):
    """Workers that have certainly ended with their allocation, as the scheduler says, and told nobody."""

    allocation: str
    scheduler_id: str
    cause: str
    told: str
    worker_ids: list[int]

    @property
    def why(self) -> str:
        """What became of their jobs' attempts, for people."""
        told = f" ({self.told})" if self.told else ""
        return f"allocation {self.scheduler_id} of its worker ended: {self.cause.replace('_', ' ')}{told}"

    @property
    def cause_of_loss(self) -> Cause:
        """The same for the attempts: what a scheduler calls otherwise happened to the worker alone."""
        return _CAUSES.get(self.cause, Cause.WORKER_LOST)


def lost_workers(connection: Connection, cluster: str, silence: float) -> list[LostWorkers]:
    """Those of a cluster that have not renewed for so many seconds; or that ended, and still hold jobs."""
    holds = select(Job.id).where(Job.worker_id == Worker.id, Job.state == "running").exists()
    silent = and_(Worker.ended_at.is_(None), Worker.renewed_at < func.now() - seconds(silence))
    is_lost = or_(silent, and_(Worker.ended_at.is_not(None), holds))
    return _lost_workers(connection, Allocation.cluster == cluster, is_lost)


def lost_among(connection: Connection, worker_ids: Sequence[int]) -> list[LostWorkers]:
    """Of workers that are dead for certain those whose allocation has ended, which says why."""
    return _lost_workers(connection, among(Worker.id, worker_ids))


def _lost_workers(connection: Connection, *conditions: ColumnElement[bool]) -> list[LostWorkers]:
    found = (
        select(
            Allocation.name.label("allocation"),
            func.coalesce(Allocation.scheduler_id, Allocation.name).label("scheduler_id"),
            Allocation.cause,
            func.coalesce(Allocation.told, "").label("told"),
            func.array_agg(Worker.id).label("worker_ids"),
        )
        .join(Worker, Worker.allocation == Allocation.name)
        .where(*conditions, Allocation.state == "ended", Allocation.cause.not_in(_UNCERTAIN))
        .where(Allocation.ended_at > func.now() - seconds(REMEMBERED))
        .group_by(Allocation.id)
    )
    return [LostWorkers(**row._asdict()) for row in connection.execute(found)]


def _counts(cluster: str) -> Any:
    """What counts as one of those that are wanted."""
    return and_(_stays(cluster), Allocation.no_worker_at.is_(None))


def _stays(cluster: str) -> ColumnElement[bool]:
    return and_(
        Allocation.cluster == cluster,
        Allocation.state != "ended",
        Allocation.cancel_requested_at.is_(None),
    )


def _note(connection: Connection, cluster: str, one: Observed) -> None:
    told = {
        "scheduler_id": one.scheduler_id,
        "word": one.word,
        "reason": one.reason,
        "hosts": list(one.hosts) or Allocation.hosts,
        "starts_at": one.starts_at,
        "ends_at": one.ends_at,
        "seen_at": func.now(),
        "missed": 0,
    }
    of_it = and_(Allocation.cluster == cluster, Allocation.name == one.name)
    if one.state == "ended":
        connection.execute(update(Allocation).where(of_it, Allocation.state != "ended").values(told))
        if one.cause is not None:
            told_by = one.told or one.word
            _end(connection, one.name, one.cause, told_by, began=one.starts_at, at=one.ends_at)
        return
    lives = {"ended_at": None, "cause": None, "told": None} if one.state else {}
    if one.state == "running":
        told |= {"ran_from": _ran_from(one.starts_at, func.now()), "ran_until": func.now()}
    state = one.state or Allocation.state
    connection.execute(update(Allocation).where(of_it).values({**told, **lives, "state": state}))
    if one.never_starts:
        _give_up(connection, of_it, f"allocation {one.scheduler_id} never starts: {one.reason}")


def _give_up(connection: Connection, of_it: Any, why: str) -> None:
    """It is cancelled, and counts as one that was refused."""
    given_up = update(Allocation).where(of_it, Allocation.cancel_requested_at.is_(None))
    row = connection.execute(
        given_up.values(cancel_requested_at=func.now()).returning(Allocation.cluster)
    ).one_or_none()
    if row is not None:
        clusters.failed(connection, row.cluster, why)


def _end(
    connection: Connection,
    name: str,
    cause: str,
    told: str,
    *conditions: Any,
    began: dt.datetime | None = None,
    at: dt.datetime | None = None,
) -> None:
    """The cluster notes if it was of no use: no worker came of it, or it failed at once.

    Parameters:
        began, at: when it began and ended, by the scheduler's clock; None: it does not say.
    """
    came = select(Worker.id).where(Worker.allocation == name).exists()
    soon = Allocation.starts_at > Allocation.ended_at - seconds(_SOON)
    row = connection.execute(
        update(Allocation)
        .where(Allocation.name == name, Allocation.state != "ended", *conditions)
        .values(
            state="ended",
            ended_at=func.least(at, func.now()) if at else func.now(),
            ran_from=_ran_from(began),
            ran_until=_ran_until(name, began, at),
            cause=cause,
            told=told,
        )
        .returning(
            *(Allocation.cluster, Allocation.cancel_requested_at, came.label("came"), soon.label("soon")),
            Allocation.ran_from,
        )
    ).one_or_none()
    if row is None or row.cancel_requested_at is not None or cause in _NO_FAULT:
        return
    if cause == "cancelled" and row.ran_from is None:
        return  # by somebody; one that has begun may as well have been killed for its memory
    if not row.came or (cause == "failed" and row.soon):
        clusters.failed(connection, row.cluster, f"{name}: {told}")


def _ran_from(*told: Any) -> Any:
    """Since when it ran: the first that is told or known, but not before it was recorded."""
    moments = [moment for moment in told if moment is not None]
    first = func.greatest(Allocation.recorded_at, func.least(Allocation.ran_from, func.now(), *moments))
    return first if moments else case((Allocation.ran_from.is_not(None), first))


def _ran_until(name: str, began: dt.datetime | None, at: dt.datetime | None) -> Any:
    """Until when it ran: the end that is told, but not before its last sign of life.

    Where no end is told, that sign is the end: nobody may have looked for days.
    """
    renewed = select(func.max(Worker.renewed_at)).where(Worker.allocation == name).scalar_subquery()
    signs = [_ran_from(began), Allocation.ran_until, *([renewed] if at is None else [renewed, at])]
    last = func.least(func.greatest(*signs), func.now())
    return case((_ran_from(began).is_not(None), last))


def _rows(connection: Connection, *conditions: Any) -> list[AllocationRow]:
    workers = select(func.count()).where(Worker.allocation == Allocation.name).correlate(Allocation)
    columns = [getattr(Allocation, field) for field in AllocationRow._fields if field != "workers"]
    found = select(*columns, workers.scalar_subquery().label("workers")).where(*conditions)
    return [AllocationRow(**row._asdict()) for row in connection.execute(found.order_by(Allocation.id))]
