"""What a job needs of its node, for people."""

from __future__ import annotations

from sqlalchemy import Connection, select

from simcelery.board.models import Job, Need
from simcelery.needs import NAMES, Needs

_COLUMNS = Need.__table__.columns


def needs(connection: Connection, job_id: int) -> Needs | None:
    """What a job needs; None: nothing in particular."""
    asked = select(*(_COLUMNS[name] for name in NAMES)).join(Job, Job.needs_id == Need.id)
    row = connection.execute(asked.where(Job.id == job_id)).one_or_none()
    return None if row is None else Needs(**row._mapping)
