"""``hold``: keep what waits from beginning."""

from __future__ import annotations

import click

from simcelery.cli.asking import show_dry
from simcelery.cli.completions import job_ids
from simcelery.cli.options import Filters, Output, command, filter_options, output_option
from simcelery.cli.output import say, show_ids, show_json
from simcelery.cli.selectors import tag_or_ids, which
from simcelery.describe.words import named
from simcelery.errors import UsageError


@command(
    "hold",
    "simcelery hold oxides                      # all that waits of this tag",
    "simcelery hold 17",
    "simcelery hold -w emt.relax -s scheduled --dry-run",
    "simcelery release oxides                   # let them run",
)
@click.argument("words", nargs=-1, metavar="[TAG | IDS]...", shell_complete=job_ids)
@filter_options
@click.option("--dry-run", is_flag=True, help="Only say which jobs would be held.")
@click.option("-y", "--yes", is_flag=True, hidden=True)  # where scripts give it to every verb
@output_option
def hold(words: tuple[str, ...], filters: Filters, dry_run: bool, yes: bool, output: Output) -> int:
    """Hold waiting jobs: none begins until it is released. Nothing is cancelled, and what runs goes on.

    TAG is a tag. IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read ids from
    stdin.

    A sweep all of whose waiting jobs are named is held as a whole, also what is added to it. Where only some
    are named, its fuse counts these no longer. Jobs that do not wait, or are held, are left alone.
    """
    from simcelery.submission import holding

    selection, filters = tag_or_ids(words, filters)
    if selection is None and not filters.given:
        raise UsageError("which jobs to hold? Give a tag, ids (42, 1-5,8, last, -) or a filter such as -w")
    wanted = which(selection, filters)
    if dry_run:
        show_dry("hold", holding.waiting(wanted, filters.limit), output)
        return 0
    held = holding.hold(wanted, filters.limit)
    if output == "json":
        show_json({"held": held})
    elif output == "quiet":
        show_ids(held)
    elif held:
        say(f"held {named(held)}")
    else:
        say("nothing to hold: no matching job waits")
    return 0
