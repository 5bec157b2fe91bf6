"""The catalogue of workflows that workers register, so that a client without the code can use them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from simcelery.board.models import Workflow
from simcelery.board.reads.order import ORDER, ordered
from simcelery.board.unreadable import bad_rows
from simcelery.needs import LEAST_MEMORY, MOST_CORES


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue.

    Attributes:
        parameters: a JSON schema; its properties are in the order of the signature.
        options: the job's defaults.
        returns: a JSON schema of the result; None: unknown.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    queue: str
    version: str
    returns: dict[str, Any] | None = None


def write(connection: Connection, entries: Iterable[Entry]) -> None:
    """Insert or update workflows, in the order of their names, since several workers may start at once."""
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
    entries = [Entry(*row) for row in rows]
    whole = [one for one in entries if _is_whole(one.parameters, one.options)]
    left_out = {one.name for one in entries} - {one.name for one in whole}
    bad_rows.name({f"workflow {name}": "left out of the catalogue" for name in sorted(left_out)})
    return [_in_order(one) for one in whole]


def _is_whole(schema: Any, options: Any) -> bool:
    """Whether an entry's schema and options look as `write` makes them."""
    if not isinstance(schema, dict) or not isinstance(options, dict):
        return False
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    return (
        all(isinstance(about, dict) for about in properties.values())
        and all(isinstance(name, str) for name in required)
        and all(_fits(name, value) for name, value in options.items())
    )


def _fits(option: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match option:
        case "priority" | "max_attempts" | "max_losses":
            return isinstance(value, int) and number and 0 <= value <= 10_000
        case "time_limit" | "soft_time_limit" | "time_request":
            return value is None or (number and 0 < value < math.inf)
        case "cores" | "gpus":
            return value is None or (isinstance(value, int) and number and 0 < value <= MOST_CORES)
        case "escalation":
            return value is None or isinstance(value, str)
        case "memory":
            return value is None or (isinstance(value, int) and number and LEAST_MEMORY <= value < 2**63)
        case "keep":
            return value is None or isinstance(value, str)
    return True


def _in_order(entry: Entry) -> Entry:
    schema = dict(entry.parameters)
    names = schema.pop(ORDER, None)
    if "properties" in schema:
        schema["properties"] = ordered(schema["properties"], names)
    return replace(entry, parameters=schema)
