"""``graph``: draw what jobs depend on, and what depends on them."""

from __future__ import annotations

from typing import Literal

import click

from simcelery.cli.options import Number, Output, command, output_option
from simcelery.cli.output import say, show_ids, show_json, write
from simcelery.cli.selectors import Selection, ids_argument, resolve
from simcelery.describe import graph as drawing

_MOST = 2000


@command(
    "graph",
    "simcelery graph 42",
    "simcelery graph 42 --dot | dot -Tsvg > campaign.svg",
    "simcelery graph 1-20 --mermaid",
    "simcelery graph last -o json | jq .edges",
)
@ids_argument(required=True)
@click.option("--dot", "form", flag_value="dot", help="Print it for Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print it for Mermaid.")
@click.option(
    "-n",
    "--limit",
    type=Number(1, 100_000),
    default=_MOST,
    metavar="N",
    help=f"At most N jobs (default: {_MOST:,}).",
)
@output_option
def graph(selection: Selection, form: Literal["dot", "mermaid"] | None, limit: int, output: Output) -> None:
    """Draw what jobs depend on, and what depends on them, as a tree.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Jobs of one workflow that depend on the same jobs, and on which the same jobs depend, are one line.
    """
    from simcelery.board import engine
    from simcelery.board.reads.graph import graph as read

    with engine.begin() as connection:
        found = read(connection, resolve(selection), limit)
    if form == "dot":
        write("".join(f"{line}\n" for line in drawing.dot(found)))
    elif form == "mermaid":
        write("".join(f"{line}\n" for line in drawing.mermaid(found)))
    elif output == "json":
        show_json(drawing.as_json(found))
    elif output == "quiet":
        show_ids(list(found.nodes))
    else:
        for line in drawing.tree(found):
            say(line)
