"""``cancel``: cancel waiting jobs at once, and running ones through their workers."""

from __future__ import annotations

import click

from simcelery.cli.asking import confirmed, show_dry
from simcelery.cli.options import (
    Filters,
    Output,
    command,
    duration,
    filter_options,
    output_option,
    yes_option,
)
from simcelery.cli.output import say, show_ids, show_json
from simcelery.cli.selectors import Selection, chosen, ids_argument, require
from simcelery.describe.words import named
from simcelery.errors import UsageError


@command(
    "cancel",
    "simcelery cancel 42",
    "simcelery cancel -w emt.relax -s pending --dry-run",
    "simcelery list -t oxides -o quiet | simcelery cancel - -y",
    "simcelery cancel 42 --wait --timeout 1m",
)
@ids_argument()
@filter_options
@click.option(
    "--wait", "wait", is_flag=True, help="Wait until the running jobs have ended, and say how they ended."
)
@click.option(
    "--timeout",
    metavar="DURATION",
    help="With --wait: wait at most this long: 90 (seconds), 1h30m or HH:MM:SS.",
)
@click.option("--dry-run", is_flag=True, help="Only say which jobs would be cancelled.")
@yes_option
@output_option
def cancel(
    selection: Selection | None,
    filters: Filters,
    wait: bool,
    timeout: str | None,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> int:
    """Cancel jobs: waiting ones at once, running ones as soon as their workers are told.

    IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from stdin.

    Jobs that have finished are left alone. Asks for confirmation before cancelling more than one. With --wait
    the exit code is 1 if a job ended in any other way, or on a timeout; Ctrl-C stops the waiting, not the
    cancelling.
    """
    from simcelery.board.states import ACTIVE
    from simcelery.cli import stopped
    from simcelery.submission import actions

    seconds = duration("--timeout", timeout)
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait")
    require(selection, filters, "cancel")
    ids, counts = chosen(selection, filters, ACTIVE)
    if dry_run:
        show_dry("cancel", ids, output)
        return 0
    if not confirmed("cancel", ids, counts, yes):
        return 0
    at_once, requested = actions.cancel(ids)
    if wait:
        asked_for = stopped.asked_for(selection, filters, ids)
        return stopped.wait_for(asked_for, at_once, requested, seconds, output)
    if output == "json":
        show_json({"cancelled": at_once, "asked_to_stop": requested})
    elif output == "quiet":
        show_ids([*at_once, *requested])
    else:
        if at_once:
            say(f"cancelled {named(at_once)}")
        if requested:
            whose = "its worker" if len(requested) == 1 else "their workers"
            say(f"asked {whose} to stop {named(requested)} (--wait waits until they have ended)")
        if not at_once and not requested:
            say("nothing to cancel: no matching job is waiting or running")
    return 0
