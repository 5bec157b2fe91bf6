"""How many jobs the workers of a cluster could run now: what there is to do for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true

from simcelery.board import sql
from simcelery.board.leases import is_live
from simcelery.board.models import Allocation, Attempt, Cluster, Job, Need, Worker
from simcelery.board.sql_helpers import among, seconds, seconds_between

# Workers that left without a job, twice in a row: what waits is not for them. It is believed again after so
# many seconds, or when there are newer jobs.
_IDLE_ENDS, _BELIEVED_AGAIN = 2, 600.0

# Of so many jobs of a lane it is asked how long they take: at least of as many as a claim asks.
_ASKED_LEAST, _ASKED_MOST = 500, 5000
_FIRST_CLAIM = 5.0  # seconds after a worker has come


class Room(NamedTuple):
    """What one worker of a cluster can run.

    Attributes:
        queues, workflows: of what it takes jobs; None: that is not known yet.
        slots: jobs at once.
        cores, memory, gpus: what it has for jobs that ask for some; None: it is not known.
        startup: seconds from the start of its allocation until it begins its first job.
    """

    queues: list[str] | None
    workflows: list[str] | None
    slots: int
    cores: int | None
    memory: int | None
    gpus: int | None
    startup: float = _FIRST_CLAIM


class Load(NamedTuple):
    """Jobs, and what they ask for together; a job that asks for no cores needs one slot."""

    jobs: int
    cores: int
    memory: int
    gpus: int


def room_of(connection: Connection, cluster: str) -> Room | None:
    """What the newest worker of a cluster since its start has; None: it has had none.

    Once that one is gone, the next may know workflows that it did not.
    """
    columns = (Worker.queues, Worker.workflows, Worker.concurrency, Worker.cores, Worker.memory, Worker.gpus)
    earlier = Worker.__table__.alias()
    first = select(func.min(earlier.c.started_at)).where(earlier.c.allocation == Allocation.name)
    startup = seconds_between(Allocation.ran_from, first.scalar_subquery())
    newest = (
        select(*columns, is_live().label("lives"), startup.label("startup"))
        .join(Allocation, Allocation.name == Worker.allocation)
        .where(_since_its_start(cluster))
        .order_by(Worker.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    workflows = row.workflows if row.lives else None
    gpus = None if row.gpus is None else len(row.gpus)
    startup_seen = max(0.0, float(row.startup or 0.0)) + _FIRST_CLAIM
    return Room(
        row.queues, workflows, max(1, row.concurrency), row.cores, row.memory, gpus, startup=startup_seen
    )


def _since_its_start(cluster: str) -> ColumnElement[bool]:
    """What a cluster of this name had before may have had another profile."""
    started_at = select(Cluster.started_at).where(Cluster.name == cluster).scalar_subquery()
    return and_(Allocation.cluster == cluster, Allocation.recorded_at >= started_at)


def pending(connection: Connection, room: Room, most: int, lasts: float | None = None) -> Load:
    """The pending jobs that such a worker could run, at most so many; none are scheduled, blocked or held.

    Parameters:
        lasts: seconds that an allocation has for jobs; None: its time is not limited. Then only of the first
            jobs of each lane it is asked how long they take, as a claim does.
    """
    return _load(connection, _could_run(connection, room, most, lasts), most)


def _could_run(
    connection: Connection, room: Room, most: int, lasts: float | None
) -> list[ColumnElement[bool]]:
    fits = and_(
        true(),
        *(
            or_(getattr(Need, name).is_(None), getattr(Need, name) <= most_of_it)
            for name, most_of_it in (("cores", room.cores), ("memory", room.memory), ("gpus", room.gpus))
            if most_of_it is not None
        ),
    )
    conditions = [Job.state == "pending", or_(Job.needs_id.is_(None), fits)]
    if room.queues is not None:
        conditions.append(Job.queue.in_(room.queues))
    if room.workflows is not None:
        conditions.append(Job.workflow.in_(room.workflows))
    if lasts is not None:
        given = {
            "queues": room.queues,
            "workflows": room.workflows,
            "lasts": lasts - room.startup,
            "most": min(max(most, _ASKED_LEAST), _ASKED_MOST),
        }
        conditions.append(among(Job.id, sql.execute(connection, "first_in_time", **given).scalars()))
    return conditions


def running(connection: Connection, cluster: str) -> Load:
    """The jobs that run on workers of a cluster."""
    mine = (
        select(Worker.id)
        .join(Allocation, Allocation.name == Worker.allocation)
        .where(Allocation.cluster == cluster, Allocation.state != "ended", Worker.ended_at.is_(None))
    )
    return _load(connection, [Job.state == "running", Job.worker_id.in_(mine)], None)


def is_disbelieved(connection: Connection, cluster: str, room: Room, lasts: float | None = None) -> bool:
    """Whether the last workers found nothing to do, though jobs were pending, and nothing is new since.

    Parameters:
        lasts: as in `pending`: what such a worker could not run is nothing new for it.
    """
    last = (
        select(Allocation.name, Allocation.cause, Allocation.ended_at)
        .where(_since_its_start(cluster), Allocation.state == "ended")
        .order_by(Allocation.ended_at.desc())
        .limit(_IDLE_ENDS)
        .subquery()
    )
    ran = select(Attempt.job_id).join(Worker, Worker.id == Attempt.worker_id)
    was_idle = and_(last.c.cause == "finished", ~ran.where(Worker.allocation == last.c.name).exists())
    recent = func.max(last.c.ended_at) > func.now() - seconds(_BELIEVED_AGAIN)
    row = connection.execute(
        select(
            func.count().filter(was_idle).label("idle"),
            recent.label("recent"),
            func.max(last.c.ended_at).label("at"),
        )
    ).one()
    if row.idle < _IDLE_ENDS or not row.recent:
        return False
    newer = [*_could_run(connection, room, 0, lasts), Job.submitted_at > row.at]
    return _load(connection, newer, 1).jobs == 0


def _load(connection: Connection, conditions: list[ColumnElement[bool]], most: int | None) -> Load:
    asked: Any = (Need.cores, Need.memory, Need.gpus)
    some = select(*asked).select_from(Job).outerjoin(Need, Need.id == Job.needs_id).where(*conditions)
    found = (some if most is None else some.limit(most)).subquery()
    cores = func.sum(func.coalesce(found.c.cores, 1))
    sums = [func.coalesce(each, 0) for each in (cores, func.sum(found.c.memory), func.sum(found.c.gpus))]
    row = connection.execute(select(func.count(), *sums).select_from(found)).one()
    return Load(*map(int, row))
