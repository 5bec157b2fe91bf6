"""The catalogue of workflows that workers register, so that a client without the code can use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Workflow

# jsonb has an order of its own; beside the schema's properties is an array with that of the signature.
ORDER = "propertyOrder"


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue.

    Attributes:
        parameters: a JSON schema; its properties are in the order of the signature.
        options: the job's defaults.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    queue: str
    version: str


def write(connection: Connection, entries: Iterable[Entry]) -> None:
    """Enter or refresh workflows, in the order of their names: workers start together."""
    rows = [
        {
            **vars(entry),
            "parameters": {**entry.parameters, ORDER: list(entry.parameters.get("properties", ()))},
        }
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
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
    return [_in_order(Entry(*row)) for row in rows]


def _in_order(entry: Entry) -> Entry:
    schema = dict(entry.parameters)
    names = schema.pop(ORDER, None)
    if "properties" in schema:
        schema["properties"] = ordered(schema["properties"], names)
    return replace(entry, parameters=schema)


def ordered(values: Any, names: Any) -> Any:
    """The values by name, those with a place among the names first; what is not like that stays as it is."""
    if not (isinstance(values, dict) and isinstance(names, list)):
        return values
    return {name: values[name] for name in names if isinstance(name, str) and name in values} | values
