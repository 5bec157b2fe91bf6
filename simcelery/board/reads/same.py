"""Jobs that are what somebody is about to submit, or nearly so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from simcelery.board import fingerprints, sql
from simcelery.board.models import Job
from simcelery.board.sql_helpers import among
from simcelery.board.states import State
from simcelery.board.unreadable import bad_rows
from simcelery.board.values import NewJob


class Holder(NamedTuple):
    """A job that a submission with dedupe, or with a key, would find."""

    id: int
    state: State
    workflow: str


def holders(connection: Connection, new: Sequence[NewJob]) -> dict[str, Holder]:
    """The jobs that these would be, by the keys of these."""
    ids = fingerprints.by_key(connection, {job.idempotency_key for job in new if job.idempotency_key})
    ids |= fingerprints.same(connection, {job.idempotency_key or "": job for job in new if job.dedupe})
    rows = connection.execute(select(Job.id, Job.state, Job.workflow).where(among(Job.id, ids.values())))
    found = {
        row.id: Holder(row.id, known, row.workflow) for row in rows if (known := bad_rows.state(row.state))
    }
    return {key: found[number] for key, number in ids.items() if number in found}


class Known(NamedTuple):
    """What a job on the board was to do."""

    id: int
    version: str
    parameters: dict[str, Any]


def newest(connection: Connection, workflow: str, most: int) -> list[Known]:
    """The newest jobs of a workflow: at most so many, and 8 MB of parameters as Postgres stores them."""
    rows = sql.execute(connection, "newest_of_workflow", workflow=workflow, most=most)
    return [Known(row.id, row.version, bad_rows.named_values(row.parameters)) for row in rows]
