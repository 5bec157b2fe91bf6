"""``db``: manage the board's schema."""

from __future__ import annotations

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import say, show_json
from simcelery.errors import SchemaError


@click.group("db", invoke_without_command=True)
@click.pass_context
def db(ctx: click.Context) -> None:
    """Manage the board's schema. For the embedded board 'simcelery up' does this."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# The first sentence of each docstring is shown in the help of ``db``.
@command("upgrade", "simcelery db upgrade", "simcelery --database-url postgresql://me@host/sims db upgrade")
@output_option
def upgrade(output: Output) -> None:
    """Bring the schema up to date. Safe to repeat, and to run from several places at once."""
    from simcelery.board import migrate

    before, after = migrate.upgrade()
    if output == "json":
        show_json({"before": before, "after": after})
    elif output == "table":
        say(f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} → {after}")


@command("current", "simcelery db current", "simcelery db current -o json")
@output_option
def current(output: Output) -> None:
    """Print the revision of the board's schema and the one that this simcelery needs."""
    from simcelery.board import migrate
    from simcelery.board.schema import REVISION

    found = migrate.current()
    if output == "json":
        show_json({"current": found, "wanted": REVISION})
    elif output == "quiet":
        say(found or "none")
    else:
        say(f"schema {found or 'none'}; this simcelery needs {REVISION}")


@command("check", "simcelery db check && celery -A simcelery worker")
@output_option
def check(output: Output) -> None:
    """Exit with code 2 unless the board's schema is up to date, and say what to do."""
    from simcelery.board import migrate
    from simcelery.board.schema import REVISION

    found = migrate.current()
    if output == "json":
        show_json({"current": found, "wanted": REVISION, "ok": found == REVISION})
        if found != REVISION:
            raise click.exceptions.Exit(2)
    if found is None:
        raise SchemaError("the board has no schema yet: run 'simcelery db upgrade'")
    if found < REVISION:
        raise SchemaError(f"the board has schema {found}, older than {REVISION}: run 'simcelery db upgrade'")
    if found > REVISION:
        raise SchemaError(f"the board has schema {found}, newer than {REVISION}: upgrade simcelery here")
    if output == "table":
        say(f"schema {found} is up to date")


for verb in (upgrade, current, check):
    db.add_command(verb)
