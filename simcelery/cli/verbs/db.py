"""``db``: manage the board's schema."""

from __future__ import annotations

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import say, show_json, write
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


_PARTS = (
    ("simcelery_read", "sees everything and changes nothing: list, logs, results, the monitor"),
    ("simcelery_submit", "submits, cancels and retries as well"),
    ("simcelery_work", "runs workers and clusters as well, and prunes"),
    ("simcelery_admin", "owns the schema: db upgrade, share"),
)


@command("roles", "simcelery db roles", "simcelery db roles --dry-run > roles.sql")
@click.option("--dry-run", is_flag=True, help="Print the SQL and execute none of it.")
@output_option
def roles(dry_run: bool, output: Output) -> None:
    """Make four roles in Postgres, and give each what it may do here. Safe to repeat.

    simcelery_read, _submit, _work and _admin have no passwords: logins are made in them. 'db upgrade' keeps
    their rights. Whoever may not create roles hands what --dry-run prints to an administrator of Postgres.
    """
    from simcelery.board import faults, migrate
    from simcelery.errors import NotPermittedError, UsageError

    try:
        statements = migrate.give_to_roles(dry=dry_run)
    except NotPermittedError as error:
        if dry_run:
            raise
        raise UsageError(
            f"this login may not do all of that ({faults.reason(error)}), and nothing was done: give the SQL "
            "that 'simcelery db roles --dry-run' prints to an administrator of Postgres"
        ) from error
    if output == "json":
        show_json({"statements": statements, "executed": not dry_run})
    elif dry_run:
        write("\n".join(["BEGIN;", *(f"{statement};" for statement in statements), "COMMIT;", ""]))
    elif output == "table":
        for role, part in _PARTS:
            say(f"{role:17}{part}")
        say("Now make a login for each person, and one for the workers, in psql:")
        say("  CREATE ROLE ada LOGIN IN ROLE simcelery_submit;")
        say("  \\password ada")


for verb in (upgrade, current, check, roles):
    db.add_command(verb)
