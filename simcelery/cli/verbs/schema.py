"""``schema``: print the JSON schemas of what commands print."""

from __future__ import annotations

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, show_ids, show_json, show_table
from simcelery.errors import UsageError
from simcelery.readable import short


def _names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from simcelery import schemas

    return [name for name in schemas.names() if name.startswith(incomplete)]


@command("schema", "simcelery schema", "simcelery schema job > job.schema.json")
@click.argument("name", required=False, shell_complete=_names)
@output_option
def schema(name: str | None, output: Output) -> None:
    """List the shapes of what commands print with -o json, or print the JSON schema of one, such as job.

    A command that shows many prints a list of such objects, or with -o jsonl one per line. Keys are only
    ever added.
    """
    from simcelery import schemas

    known = schemas.names()
    if name is not None:
        if name not in known:
            raise UsageError(f"there is no schema {short(name)}; there are {', '.join(known)}")
        show_json(schemas.read(name))
    elif output == "quiet":
        show_ids(known)
    else:
        found = {each: schemas.read(each)["description"] for each in known}
        if output == "json":
            show_json(found)
        else:
            show_table([Column("name"), Column("printed by", wrapped=True)], list(found.items()))
