"""``share``: whether the jobs of a queue come in strict order, or are shared between people or tags."""

from __future__ import annotations

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.errors import UsageError


@command(
    "share",
    "simcelery share default --by submitter   # a colleague's ten jobs do not wait for a sweep",
    "simcelery share gpu --by tag             # likewise between the first tags of jobs",
    "simcelery share default --by nobody      # back to strict order",
    "simcelery share                          # which queues are shared",
    "simcelery share --apply                  # those of [share] in simcelery.toml",
)
@click.argument("queue", required=False)
@click.option(
    "--by",
    type=click.Choice(["submitter", "tag", "nobody"]),
    help="Between whom; nobody: strict order, by priority and age, as queues have it by default.",
)
@click.option(
    "--apply", "applies", is_flag=True, help="Share the queues of the table [share] in simcelery.toml."
)
@output_option
def share(queue: str | None, by: str | None, applies: bool, output: Output) -> None:
    """Share a queue fairly: of equally urgent jobs, those of whoever has the fewest running come first.

    A submitter is a user, from whatever machine; of several tags the first one counts. Holds for all workers,
    from now on. On a large board this takes some seconds, during which no job is claimed. Workers share the
    queues of [share] in simcelery.toml when they start, unless they are shared already.
    """
    from simcelery.board import engine, shares
    from simcelery.settings import get_settings
    from simcelery.submission.lineage import submitter

    if (queue is None) != (by is None) or (applies and queue is not None):
        raise UsageError("give a queue and --by submitter, tag or nobody; or --apply; or neither, to list")
    declared = dict(shares.checked(*one) for one in get_settings().share.items()) if applies else {}
    if applies and not declared:
        raise UsageError("the settings share no queue: write [share] into simcelery.toml")
    with engine.begin() as connection:
        if queue is not None and by == "nobody":
            shares.stop(connection, queue)
        elif queue is not None:
            shares.share(connection, *shares.checked(queue, by), submitter())
        for name, kind in declared.items():
            shares.share(connection, name, kind, submitter())
        found = shares.listed(connection)
    if output == "json":
        show_json([{"queue": name, "by": kind} for name, kind in found.items()])
    elif output == "quiet":
        show_ids(found)
    elif not found:
        say("no queue is shared: jobs come in strict order, by priority and age")
    else:
        show_table([Column("queue", middle=True), Column("shared by")], list(found.items()))
