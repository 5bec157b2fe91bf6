"""The catalogue of workflows that workers register, so that a client without the code can use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Workflow


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue. `parameters` is a JSON schema; `options` are the job's defaults."""

    name: str
    description: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    queue: str
    version: str


def write(connection: Connection, entries: Iterable[Entry]) -> None:
    """Enter or refresh workflows, in the order of their names: workers start together."""
    rows = [vars(entry) for entry in sorted(entries, key=lambda entry: entry.name)]
    if not rows:
        return
    statement = insert(Workflow)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "name"}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Workflow.name], set_={**changed, "seen_at": func.now()}
        ),
        rows,
    )


def read(connection: Connection) -> list[Entry]:
    """The whole catalogue, by name."""
    columns = Workflow.__table__.columns
    rows = connection.execute(
        select(*(columns[name] for name in Entry.__dataclass_fields__)).order_by(Workflow.name)
    )
    return [Entry(*row) for row in rows]
