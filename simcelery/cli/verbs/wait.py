"""``wait``: wait until jobs have finished."""

from __future__ import annotations

import click

from simcelery.cli.ended import wait_or_leave
from simcelery.cli.options import Filters, Output, command, duration, filter_options, output_option
from simcelery.cli.selectors import Selection, ids_argument, require, which


@command(
    "wait",
    "simcelery wait 42 && echo succeeded",
    "simcelery wait -t oxides --timeout 2h",
    "simcelery submit emt.relax --each '*.cif' -o quiet | simcelery wait -",
)
@ids_argument()
@filter_options
@click.option(
    "--timeout", metavar="DURATION", help="Wait at most this long: 90 (seconds), 1h30m or HH:MM:SS."
)
@output_option
def wait(selection: Selection | None, filters: Filters, timeout: str | None, output: Output) -> int:
    """Wait until jobs have finished, and show their progress. Ctrl-C stops the waiting, not the jobs.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    For a single job, prints its result as JSON. Exit code 1 if any job did not succeed, or on a timeout.
    """
    from simcelery.board import engine, reads

    seconds = duration("--timeout", timeout)
    require(selection, filters, "wait for")
    wanted = which(selection, filters)
    with engine.begin() as connection:
        ids = reads.ids(connection, wanted)[: filters.limit]
    return wait_or_leave(ids, seconds, output, single=bool(selection and selection.single))
