"""What people do to jobs by hand, and who: they cancel, retry, hold and release."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import Connection, literal, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Intervention, Job
from simcelery.board.sql_helpers import among


def note(
    connection: Connection,
    kind: Literal["cancel", "retry", "hold", "release"],
    job_ids: Collection[int],
    by: str,
) -> None:
    """Write down who does it, in the transaction in which it is done; jobs that are gone are left out."""
    if not job_ids:
        return
    # Locked in the order of their ids, as the foreign key would lock them one by one.
    there = (
        select(Job.id)
        .where(among(Job.id, job_ids))
        .order_by(Job.id)
        .with_for_update(read=True, key_share=True)
    )
    chosen = there.cte("there")
    rows = select(chosen.c.id, literal(kind), literal(by))
    connection.execute(
        insert(Intervention).from_select(["job_id", "kind", "by"], rows).on_conflict_do_nothing()
    )
