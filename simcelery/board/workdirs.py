"""Workdirs that do not stay as they are when their job has ended: where, and what became of them."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, func, update

from simcelery.board import sql
from simcelery.board.models import Workdir
from simcelery.board.sql_helpers import seconds
from simcelery.board.states import State

Done = Literal["removed", "compressed", "kept"]


@dataclass(frozen=True)
class Due:
    """A job whose workdirs on a host are to be dealt with; `elsewhere`: that is not this host."""

    job_id: int
    host: str
    ended_at: dt.datetime
    elsewhere: bool


@dataclass(frozen=True)
class Left:
    """An attempt, and its workdir as far as the board knows it."""

    attempt: int
    claim_id: uuid.UUID
    workdir: str | None


@dataclass(frozen=True)
class EndedJob:
    """A job that has ended, and its attempts on one host.

    Attributes:
        done: what becomes of their workdirs now; None: nothing yet; kept: there are artifacts in them that
            are stored nowhere else.
    """

    done: Done | None
    attempts: list[Left]


def due(connection: Connection, host: str, root: Path, most: int = 100) -> list[Due]:
    """Jobs whose workdirs a worker on this host, which has its own in `root`, may deal with now."""
    rows = sql.execute(connection, "workdirs_due", host=host, root=str(root), most=most)
    return [Due(**row) for row in rows.mappings()]


def of(connection: Connection, one: Due) -> EndedJob | None:
    """The job, which nobody retries before this transaction ends; None: it has not ended, or is gone."""
    row = sql.execute(connection, "workdirs_of", job_id=one.job_id, host=one.host).one_or_none()
    if row is None:
        return None
    left = [Left(its["attempt"], uuid.UUID(its["claim_id"]), its["workdir"]) for its in row.attempts]
    done = None if row.needed else _what(row.keep, row.state)
    return EndedJob("kept" if done and row.treasured else done, left)


def _what(keep: str | None, state: str) -> Done | None:
    if keep == "compressed":
        return "compressed"
    return "removed" if keep == "none" or (keep == "failed" and state == State.SUCCEEDED) else None


def note(connection: Connection, one: Due, done: Done) -> None:
    """They have been dealt with."""
    _change(connection, one, done=done, done_at=func.now())


def postpone(connection: Connection, one: Due, by: float) -> None:
    """Look at them again after so many seconds."""
    _change(connection, one, next_at=func.now() + seconds(by))


def _change(connection: Connection, one: Due, **values: Any) -> None:
    # Unless the job has run again, and ended, since they were found to be due.
    its = Workdir.job_id == one.job_id, Workdir.host == one.host, Workdir.ended_at == one.ended_at
    connection.execute(update(Workdir).where(*its).values(**values))


def reopen(connection: Connection, job_id: int) -> None:
    """Compressed workdirs of a job are unpacked for somebody who needs them: compress them again later."""
    again = {"done": None, "done_at": None, "next_at": func.now() + seconds(60.0)}
    connection.execute(
        update(Workdir).where(Workdir.job_id == job_id, Workdir.done == "compressed").values(**again)
    )
