"""``recover``: recovery by hand."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, show_json, show_table
from simcelery.describe.words import duration, many

if TYPE_CHECKING:
    from simcelery.maintenance.by_hand import Done


@command("recover", "simcelery recover --dry-run", "simcelery recover", "simcelery recover -o json")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change and send nothing.")
@output_option
def recover(dry_run: bool, output: Output) -> None:
    """Run the workers' recovery once, here and now.

    It rescues the jobs of lost workers, stages the jobs whose time has come, settles those whose parents
    did not succeed, prunes old ones, and sends the messages that are missing. Needed only where no worker
    runs: every worker does all this by itself. With -o quiet only the exit code tells.
    """
    from simcelery.maintenance import by_hand

    done: list[Done] = []
    try:
        for one in by_hand.recover(dry_run):
            done.append(one)
    finally:  # a service that is away ends the round: what was done until then is said all the same
        if done and output == "json":
            show_json({"dry_run": dry_run, "acts": {one.act: _facts(one) for one in done}})
        elif done and output == "table":
            told = Column("would do" if dry_run else "done", wrapped=True)
            show_table([Column("act"), told], [(one.act, _words(one)) for one in done])


def _facts(done: Done) -> dict[str, Any]:
    return {**done.counts, **({"holds_back_until": done.until.isoformat()} if done.until else {})}


def _words(done: Done) -> str:
    from simcelery.settings import get_settings

    retention = get_settings().retention
    count = next(iter(done.counts.values()))
    if done.until and done.started_at:
        age = (dt.datetime.now(dt.UTC) - done.started_at).total_seconds()
        until = f"{done.until.astimezone():%H:%M:%S}"
        return f"nothing yet: Postgres started {duration(age)} ago; workers have until {until} to renew"
    if done.act == "prune" and retention is None:
        return "nothing: the setting retention is not set"
    if done.act == "republish":
        return f"{count:,} fed, {done.counts['sent_again']:,} sent again"
    return f"{many(count)} {_WHAT[done.act]}" + (f" {duration(retention)} ago" if done.act == "prune" else "")


_WHAT = {
    "rescue": "of lost workers",
    "stage": "whose time has come",
    "settle": "whose parents did not succeed",
    "prune": "that finished more than",
}
