"""Schedules: jobs that are recorded again and again, by cron expressions, without a process of their own.

A schedule is a row that holds the job to record and when it is due next, by the board's clock. The act of
recovery `fire` records what is due, and moves that time on in the same transaction. So there is exactly one
job for each time, whoever does it and wherever it is killed; the job's key says the same once more.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from simcelery.board import due
from simcelery.board.engine import as_json
from simcelery.board.models import Job, Schedule
from simcelery.board.transitions import record
from simcelery.board.values import JobToPublish, NewJob
from simcelery.errors import UsageError
from simcelery.needs import Needs

Missed = Literal["once", "all", "skip"]
MISSED = ("once", "all", "skip")
# Of times that were missed, with `all`: the last of them, at most.
MOST_MISSED = 100
# Seconds after which a time counts as missed: recovery looks every second or so.
_LATE = 60.0
# What of a job a schedule keeps; the rest is the same for all of them, or of one job alone.
_KEPT = (
    "workflow",
    "version",
    "queue",
    "priority",
    "tags",
    "max_attempts",
    "max_losses",
    "time_limit",
    "soft_time_limit",
    "time_request",
    "keep",
)


@dataclass(frozen=True, kw_only=True)
class NewSchedule:
    """A schedule to add: it records `job`; `missed` says what becomes of times that were missed.

    `from_settings`: a settings file declares it.
    """

    name: str
    cron: str
    timezone: str
    missed: Missed
    job: NewJob
    from_settings: bool = False


class Fired(NamedTuple):
    """What became of one schedule that was due: the jobs recorded, and how many times were left out."""

    jobs: list[JobToPublish]
    left_out: int


def add(connection: Connection, new: NewSchedule) -> dt.datetime:
    """Add a schedule; when it is due next.

    Raises:
        UsageError: there is one of this name.
    """
    next_at = _insert(connection, new)
    if next_at is None:
        raise UsageError(
            f"there is a schedule {new.name!r} already: replace or remove it, or choose another name"
        )
    return next_at


def _insert(connection: Connection, new: NewSchedule) -> dt.datetime | None:
    """Add a schedule, and say when it is due next; None: there is one of this name."""
    next_at = due.following(new.cron, new.timezone, _now(connection))
    values = {"name": new.name, **_said(new), "submitted_by": new.job.submitted_by, "next_at": next_at}
    added = insert(Schedule).values(values).on_conflict_do_nothing().returning(Schedule.next_at)
    return connection.scalar(added)


def _now(connection: Connection) -> dt.datetime:
    return connection.execute(select(func.now())).scalar_one()


def _said(new: NewSchedule) -> dict[str, Any]:
    """What somebody said of a schedule, by its columns."""
    return {
        "cron": new.cron,
        "timezone": new.timezone,
        "missed": new.missed,
        "job": _kept(new.job),
        "parameters": dict(new.job.parameters),
        "from_settings": new.from_settings,
    }


def put(connection: Connection, new: NewSchedule) -> None:
    """Add a schedule, or make the one of this name this one.

    It stays paused if it was; and unless its times have changed, it is due when it was due before.
    """
    if _insert(connection, new) is not None:
        return
    row = connection.execute(
        select(Schedule.__table__).where(Schedule.name == new.name).with_for_update()
    ).one()
    values = {**_said(new), "submitted_by": new.job.submitted_by}
    if (row.cron, row.timezone) != (new.cron, new.timezone):
        values["next_at"] = due.following(new.cron, new.timezone, _now(connection))
    connection.execute(update(Schedule).where(Schedule.name == new.name).values(values))


def declare(connection: Connection, given: Sequence[NewSchedule]) -> tuple[list[str], list[str]]:
    """Add those of these schedules that the board does not have.

    Returns:
        The names of these; and of those that the board has otherwise.
    """
    new = [one.name for one in given if _insert(connection, one) is not None]
    there = {row["name"]: row for row in listed(connection)}
    return new, [one.name for one in given if not _is_same(there.get(one.name), one)]


def _is_same(row: Mapping[str, Any] | None, new: NewSchedule) -> bool:
    said = json.loads(as_json(_said(new)))
    del said["from_settings"]  # whoever said it
    return row is not None and all(row[name] == value for name, value in said.items())


def _kept(job: NewJob) -> dict[str, Any]:
    found = {name: getattr(job, name) for name in _KEPT}
    return {**found, "tags": list(job.tags), "needs": vars(job.needs) if job.needs else None}


def job_of(row: Row[Any] | Mapping[str, Any], key: str | None = None) -> NewJob:
    """The job that a schedule records; its tags tell of which schedule it is."""
    columns = row._mapping if isinstance(row, Row) else row
    job = dict(columns["job"])
    needs = job.pop("needs", None)
    tags = tuple(dict.fromkeys((*job.pop("tags"), tag(columns["name"]))))
    return NewJob(
        **job,
        tags=tags,
        needs=needs and Needs(**needs),
        parameters=columns["parameters"],
        submitted_by=columns["submitted_by"],
        idempotency_key=key,
    )


def tag(name: str) -> str:
    """By which the jobs of a schedule are found."""
    return f"schedule:{name}"


def names_due(connection: Connection) -> list[str]:
    """The schedules that are due, the longest first."""
    return list(connection.scalars(_names_due()))


@cache  # every worker asks it again and again
def _names_due() -> Select[str]:
    return select(Schedule.name).where(_is_due()).order_by(Schedule.next_at, Schedule.name).limit(1000)


def _is_due() -> Any:
    """What breaks a CHECK could not be moved on: it is left alone until it is put right."""
    readable = and_(
        Schedule.missed.in_(MISSED),
        func.jsonb_typeof(Schedule.job) == "object",
        func.jsonb_typeof(Schedule.parameters) == "object",
    )
    return and_(Schedule.paused_at.is_(None), Schedule.next_at <= func.now(), readable)


def fire(connection: Connection, name: str) -> Fired:
    """Record what a schedule is due for, and when it is due next; nothing if somebody else does so now."""
    row = connection.execute(
        select(Schedule.__table__, func.now().label("now"))
        .where(Schedule.name == name, _is_due())
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return Fired([], 0)
    times, left_out = _times(row)
    jobs = [job_of(row, f"schedule {name} {time:%Y-%m-%dT%H:%MZ}") for time in times]
    recorded = record(connection, jobs, on_failed="keep") if jobs else []
    new = [one for one in recorded if one.how == "new"]
    connection.execute(
        update(Schedule)
        .where(Schedule.name == name)
        .values(
            next_at=due.following(row.cron, row.timezone, row.now),
            last_at=times[-1] if times else row.last_at,
            last_job_id=recorded[-1].id if recorded else row.last_job_id,
        )
    )
    like = jobs[0] if jobs else None
    return Fired(
        [JobToPublish(one.id, one.task_id, like.workflow, like.queue, like.priority) for one in new]
        if like
        else [],
        left_out,
    )


def _times(row: Row[Any]) -> tuple[list[dt.datetime], int]:
    """The times for which jobs are recorded now, and how many of those that were missed are not."""
    most = MOST_MISSED + 1
    found = due.past(row.cron, row.timezone, row.next_at, row.now, most)
    late = row.now - dt.timedelta(seconds=_LATE)
    if row.missed == "all":
        kept = found[-MOST_MISSED:]
    elif row.missed == "skip":
        kept = [time for time in found[-1:] if time > late]
    else:
        kept = found[-1:]
    return kept, len(found) - len(kept)


def record_now(connection: Connection, name: str) -> tuple[NewJob, int]:
    """Record a schedule's job now, besides those that are due; the job and its id.

    Raises:
        UsageError: there is no such schedule.
    """
    row = connection.execute(select(Schedule.__table__).where(Schedule.name == name)).one_or_none()
    if row is None:
        raise unknown(name)
    job = job_of(row)
    [recorded] = record(connection, [job])
    connection.execute(update(Schedule).where(Schedule.name == name).values(last_job_id=recorded.id))
    return job, recorded.id


def unknown(name: str) -> UsageError:
    """There is no such schedule."""
    return UsageError(f"there is no schedule {name!r}: see 'simcelery schedules'")


def pause(connection: Connection, names: Sequence[str]) -> None:
    """Record nothing for these schedules until they are resumed.

    Raises:
        UsageError: there is no such schedule.
    """
    _refuse_unknown(connection, names)
    paused = update(Schedule).where(Schedule.name.in_(names), Schedule.paused_at.is_(None))
    connection.execute(paused.values(paused_at=func.now()))


def resume(connection: Connection, names: Sequence[str]) -> None:
    """Go on with these schedules, with the times from now on.

    Raises:
        UsageError: there is no such schedule.
    """
    _refuse_unknown(connection, names)
    paused = select(Schedule.__table__, func.now().label("now"))
    for row in connection.execute(
        paused.where(Schedule.name.in_(names), Schedule.paused_at.is_not(None)).with_for_update()
    ).all():
        next_at = due.following(row.cron, row.timezone, row.now)
        values = {"paused_at": None, "next_at": next_at}
        connection.execute(update(Schedule).where(Schedule.name == row.name).values(values))


def remove(connection: Connection, names: Sequence[str]) -> None:
    """Remove schedules; the jobs that they have recorded stay.

    Raises:
        UsageError: there is no such schedule.
    """
    _refuse_unknown(connection, names)
    connection.execute(delete(Schedule).where(Schedule.name.in_(names)))


def _refuse_unknown(connection: Connection, names: Sequence[str]) -> None:
    known = set(connection.scalars(select(Schedule.name).where(Schedule.name.in_(names))))
    for name in names:
        if name not in known:
            raise unknown(name)


def listed(connection: Connection, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Schedules as they stand, with the state of the last job of each, by name."""
    found = select(Schedule.__table__, Job.state.label("last_state"))
    found = found.outerjoin(Job, Job.id == Schedule.last_job_id)
    wanted = or_(*(Schedule.name == name for name in names)) if names else None
    rows = connection.execute((found if wanted is None else found.where(wanted)).order_by(Schedule.name))
    return [dict(row._mapping) for row in rows]
