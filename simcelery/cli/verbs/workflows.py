"""``workflows``: list the workflows that can be submitted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli.completions import workflow_names
from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, heading, note, say, show_facts, show_ids, show_json, show_table
from simcelery.describe.words import duration, size
from simcelery.describe.workflow import as_json, schema_rows
from simcelery.errors import ServiceError, SimceleryError

if TYPE_CHECKING:
    from simcelery.board.catalogue import Entry
    from simcelery.workflows.definition import Definition


@command("workflows", "simcelery workflows", "simcelery workflows emt.relax", "simcelery workflows -o json")
@click.argument("name", required=False, shell_complete=workflow_names)
@output_option
def workflows(name: str | None, output: Output) -> None:
    """List the workflows found here and those that workers have registered on the board.

    With NAME, show the parameters and options of that workflow.
    """
    here, on_board = local(), registered()
    names = sorted({*here, *on_board})
    if name is not None:
        found = as_json(name, here.get(name), on_board.get(name))
        if output == "json":
            show_json(found)
        elif output == "quiet":
            show_ids([name])
        else:
            _show_one(found, here.get(name))
        return
    found_all = [as_json(each, here.get(each), on_board.get(each)) for each in names]
    if output == "json":
        show_json(found_all)
    elif output == "quiet":
        show_ids(names)
    else:
        columns = [
            Column("workflow", middle=True),
            Column("queue", middle=True),
            Column("known"),
            Column("description", wrapped=True),
        ]
        rows = [(one["name"], one["queue"], ", ".join(one["known"]), one["description"]) for one in found_all]
        show_table(columns, rows)


def local() -> dict[str, Definition]:
    """The workflows that can be imported here, by name; modules that fail to import are noted on stderr."""
    from simcelery.settings import get_settings
    from simcelery.workflows import registry

    for error in registry.load(get_settings()).values():
        note(f"simcelery: {error}")
    return {known.name: known for known in registry.definitions()}


def registered() -> dict[str, Entry]:
    """The board's catalogue, by name; empty if the board cannot be read."""
    try:
        from simcelery.board import catalogue, engine

        with engine.begin() as connection:
            return {entry.name: entry for entry in catalogue.read(connection)}
    except SimceleryError as error:
        if not isinstance(error, ServiceError):
            note(f"simcelery: {error}")
        return {}


def _show_one(found: dict[str, Any], here: Definition | None) -> None:
    heading(found["name"])
    text = inspect.getdoc(here.function) if here else found["description"]
    for line in (text or "").splitlines():
        say(f"  {line}" if line else "")
    say()
    options = {name: value for name, value in found["options"].items() if value is not None}
    for name in ("time_limit", "soft_time_limit", "time_request"):
        if name in options:
            options[name] = duration(options[name])
    if "memory" in options:
        options["memory"] = size(options["memory"])
    show_facts([("queue", found["queue"]), *options.items(), ("version", found["version"])])
    say()
    if here:
        rows = here.parameters.describe()
    else:
        rows = schema_rows(found["parameters"])
    show_table(
        [Column("parameter", middle=True), Column("type", wrapped=True), Column("default", wrapped=True)],
        rows,
    )
