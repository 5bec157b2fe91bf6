"""A workflow as JSON, and its parameters as they are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcelery.describe.plain import plain

if TYPE_CHECKING:
    from simcelery.board.catalogue import Entry
    from simcelery.workflows.definition import Definition


def as_json(name: str, here: Definition | None, on_board: Entry | None) -> dict[str, Any]:
    """One workflow as JSON; what is found here takes precedence over the board.

    Raises:
        UnknownWorkflowError: it is neither here nor on the board.
    """
    from simcelery.settings import get_settings
    from simcelery.workflows import registry

    if here is None and on_board is None:
        registry.get(name)
    known = [where for where, found in (("here", here), ("board", on_board)) if found]
    if here is not None:
        return {
            "name": name,
            "description": here.description,
            "queue": here.queue or get_settings().default_queue,
            "version": here.version,
            "known": known,
            "options": {
                option: value for option, value in here.defaults(get_settings()).items() if option != "queue"
            },
            "parameters": here.parameters.json_schema(),
        }
    assert on_board is not None
    entry = on_board
    return {
        "name": name,
        "description": entry.description,
        "queue": entry.queue,
        "version": entry.version,
        "known": known,
        "options": entry.options,
        "parameters": entry.parameters,
    }


def schema_rows(schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and default of each parameter of a JSON schema."""
    return [
        (name, _schema_type(entry), repr(plain(entry["default"])) if "default" in entry else "")
        for name, entry in schema.get("properties", {}).items()
    ]


def _schema_type(entry: dict[str, Any]) -> str:
    if "anyOf" in entry and "description" not in entry:
        return " or ".join(_schema_type(one) for one in entry["anyOf"])
    return str(
        entry.get("type") or entry.get("$ref", "").rpartition("/")[2] or entry.get("description") or "any"
    )
