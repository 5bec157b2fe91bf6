"""``release``: let run what canaries, a fuse or somebody hold."""

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
    "release",
    "simcelery release oxides                   # all that is held of this tag",
    "simcelery release -t oxides --dry-run",
    "simcelery release 17                       # this one; the others stay held",
    "simcelery release -w emt.relax -o json",
)
@click.argument("words", nargs=-1, metavar="[TAG | IDS]...", shell_complete=job_ids)
@filter_options
@click.option("--dry-run", is_flag=True, help="Only say which jobs would be released.")
@click.option("-y", "--yes", is_flag=True, hidden=True)  # where scripts give it to every verb
@output_option
def release(words: tuple[str, ...], filters: Filters, dry_run: bool, yes: bool, output: Output) -> int:
    """Release held jobs: by canaries that did not succeed, by a fuse that has blown, or by hand.

    TAG is a tag of the sweep. IDS are job ids and ranges (42, 1-5,8), last for the newest job, or - to read
    ids from stdin.

    A sweep all of whose held jobs are named is opened: they run, and its fuse counts from 0. Where only some
    are named, these run, and the others stay held. Jobs that are not held are left alone.
    """
    from simcelery.submission import releasing

    selection, filters = tag_or_ids(words, filters)
    if selection is None and not filters.given:
        raise UsageError("which jobs to release? Give a tag, ids (42, 1-5,8, last, -) or a filter such as -w")
    wanted = which(selection, filters)
    if dry_run:
        show_dry("release", releasing.held(wanted, filters.limit), output)
        return 0
    released = releasing.release(wanted, filters.limit)
    if output == "json":
        show_json({"released": released})
    elif output == "quiet":
        show_ids(released)
    elif released:
        say(f"released {named(released)}")
    else:
        say("nothing to release: no matching job is held")
    return 0
