"""``recover``: run recovery by hand."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli.options import Command, Output, command, output_option
from simcelery.cli.output import Column, show_json, show_table
from simcelery.describe.words import duration, many

if TYPE_CHECKING:
    from simcelery.maintenance.by_hand import Done


class RecoverCommand(Command):
    """Its help lists the acts."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The acts, then the options."""
        from simcelery.maintenance.acts import ACTS

        with formatter.section("Acts"):
            formatter.write_dl([(act.name, act.does.replace("`", "")) for act in ACTS])
        super().format_options(ctx, formatter)


@command(
    "recover",
    "simcelery recover --dry-run",
    "simcelery recover",
    "simcelery recover -o json",
    cls=RecoverCommand,
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done; change and send nothing.")
@output_option
def recover(dry_run: bool, output: Output) -> None:
    """Run recovery once by hand: each of its acts, in the order below.

    Needed only if no worker is running: every worker does all this by itself. With -o quiet, prints
    nothing; see the exit code.
    """
    from simcelery.maintenance import by_hand

    done: list[Done] = []
    try:
        for one in by_hand.recover(dry_run=dry_run):
            done.append(one)
    finally:  # an unreachable service ends the round; still say what was done before
        if done and output == "json":
            show_json({"dry_run": dry_run, "acts": {one.act.name: _facts(one) for one in done}})
        elif done and output == "table":
            told = Column("would do" if dry_run else "done", wrapped=True)
            show_table([Column("act"), told], [(one.act.name, _words(one)) for one in done])


def _facts(done: Done) -> dict[str, Any]:
    return {**done.counts, **({"holds_back_until": done.wait.until.isoformat()} if done.wait else {})}


def _words(done: Done) -> str:
    from simcelery.settings import get_settings

    if done.wait:
        age = (dt.datetime.now(dt.UTC) - done.wait.started_at).total_seconds()
        until = f"{done.wait.until.astimezone():%H:%M:%S}"
        return f"nothing yet: Postgres started {duration(age)} ago, so workers have until {until} to renew"
    needed = {}
    if needs := done.act.needs:
        setting = getattr(get_settings(), needs)
        if setting is None:
            return f"nothing: the setting {needs} is not set"
        needed = {needs: duration(setting)}
    jobs = many(next(iter(done.counts.values())))
    return done.act.told.format(jobs=jobs, **done.counts, **needed)
