"""``schedules``: jobs that are submitted again and again."""

from __future__ import annotations

from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from simcelery.cli.completions import parameter_names, workflow_names
from simcelery.cli.job_options import job_options, of_job
from simcelery.cli.options import (
    Output,
    Verbs,
    WithCommand,
    command,
    command_of,
    output_option,
)
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.describe import schedules as in_words
from simcelery.describe.plain import jsonable
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.values import NewJob

_OF_JOB = ("workflow", "queue", "priority", "tags")
_SHOWN = (
    "name",
    "cron",
    "timezone",
    "missed",
    "next_at",
    "last_at",
    "paused_at",
    "submitted_by",
    "created_at",
    "from_settings",
)


def _names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The schedules of the board."""
    with suppress(Exception):  # tab completion must never print an error
        return [CompletionItem(row["name"]) for row in _read() if row["name"].startswith(incomplete)]
    return []


@command(
    "schedules",
    "simcelery schedules add nightly '30 2 * * *' sims.benchmark size=100",
    "simcelery schedules add weekly '0 6 * * MON' --timezone Europe/Berlin --missed skip sims.report",
    "simcelery schedules add sync @hourly -q io -- rsync -a $PWD/results backup:",
    "simcelery schedules                     # when each is due next, and how its last job is",
    "simcelery list -t schedule:nightly      # its jobs",
    cls=Verbs,
    invoke_without_command=True,
)
@output_option
@click.pass_context
def schedules(ctx: click.Context, output: Output) -> None:
    """List jobs that are submitted again and again: when they are due next, and how the last one is.

    Schedules are on the board, and any worker records their jobs: exactly one for each time. They are due by
    the clock of the board. Their jobs have the tag schedule:NAME. The tables [schedules.NAME] of
    simcelery.toml add schedules as well: see 'schedules apply'.
    """
    names = ("list", "add", "apply", "pause", "resume", "run", "remove")
    ctx.default_map = {name: {"output": output} for name in names}
    if ctx.invoked_subcommand is None:
        _show(_read(), output)


@command("list", "simcelery schedules list", "simcelery schedules list -o json")
@output_option
def list_(output: Output) -> None:
    """List the schedules, when each is due next, and how its last job is."""
    _show(_read(), output)


class _AddCommand(WithCommand):
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Both forms of the usage line."""
        return ["[OPTIONS] NAME CRON WORKFLOW [NAME=VALUE]...  |  [OPTIONS] NAME CRON -- COMMAND..."]


@command(
    "add",
    "simcelery schedules add nightly '30 2 * * *' sims.benchmark size=100 -t benchmark",
    "simcelery schedules add weekly '0 6 * * MON' --timezone Europe/Berlin --missed skip sims.report",
    "simcelery schedules add sync @hourly -q io -- rsync -a $PWD/results backup:",
    cls=_AddCommand,
)
@click.argument("name")
@click.argument("cron")
@click.argument("workflow", required=False, shell_complete=workflow_names)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=parameter_names)
@click.option(
    "--timezone", metavar="ZONE", help="Of the times, such as Europe/Berlin (default: the one here)."
)
@click.option(
    "--missed",
    type=click.Choice(["once", "all", "skip"]),
    default="once",
    help="Times at which no worker was there: make up for them with one job, with all (100), or none.",
)
@click.option("--replace", is_flag=True, help="Change the schedule of this name, if there is one.")
@job_options
@output_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    name: str,
    cron: str,
    workflow: str | None,
    parameters: tuple[str, ...],
    timezone: str | None,
    missed: Any,
    replace: bool,
    output: Output,
    **chosen: Any,
) -> None:
    """Submit a job whenever it is due: a workflow, or a command.

    CRON is minute, hour, day of the month, month and day of the week, or @hourly, @daily, @weekly, @monthly,
    @yearly. Times of the day that are left out when the clocks go forward are due just after that; those that
    there are twice when they go back are due once. Everything is validated before anything is written.
    """
    from simcelery.board import engine
    from simcelery.board import schedules as board
    from simcelery.submission.options import Options
    from simcelery.submission.schedules import checked, here

    options = Options(**of_job(chosen))
    zone = timezone or here()
    checked(name, cron, zone, missed)
    job = _job(command_of(ctx), workflow, parameters, options)
    new = board.NewSchedule(name=name, cron=cron, timezone=zone, missed=missed, job=job)
    with engine.begin() as connection:
        (board.put if replace else board.add)(connection, new)
    _changed([name], output)


def _job(argv: list[str] | None, workflow: str | None, parameters: tuple[str, ...], options: Any) -> NewJob:
    """The job to record, validated."""
    from simcelery.cli.programs import Program
    from simcelery.cli.wanted import wanted
    from simcelery.submission.schedules import without_parents

    if argv is not None and (workflow is not None or not argv):
        raise UsageError("write NAME, CRON and -- and then the whole command")
    target, items = wanted(argv, Program(), workflow, parameters)
    [item] = items
    return without_parents(target.preparation(options)(item.values))


@command("apply", "simcelery schedules apply")
@output_option
def apply(output: Output) -> None:
    """Add or change the schedules that [schedules] in simcelery.toml gives; others stay as they are.

    Workers add those that the board does not have when they start. Where it has another one of the same name,
    that of the board holds until somebody applies or replaces it.
    """
    from simcelery.board import engine
    from simcelery.board import schedules as board
    from simcelery.settings import get_settings
    from simcelery.submission.schedules import of_settings

    given = of_settings(get_settings())
    if not given:
        raise UsageError("the settings have no schedules: write [schedules.NAME] into simcelery.toml")
    with engine.begin() as connection:
        for one in given:
            board.put(connection, one)
    _changed([one.name for one in given], output)


@command("pause", "simcelery schedules pause nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@output_option
def pause(names: tuple[str, ...], output: Output) -> None:
    """Submit nothing for these schedules until they are resumed."""
    from simcelery.board import engine
    from simcelery.board import schedules as board

    with engine.begin() as connection:
        board.pause(connection, names)
    _changed(names, output)


@command("resume", "simcelery schedules resume nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@output_option
def resume(names: tuple[str, ...], output: Output) -> None:
    """Go on with paused schedules; what would have been due meanwhile is not made up for."""
    from simcelery.board import engine
    from simcelery.board import schedules as board

    with engine.begin() as connection:
        board.resume(connection, names)
    _changed(names, output)


@command(
    "run", "simcelery schedules run nightly", "simcelery wait $(simcelery schedules run nightly -o quiet)"
)
@click.argument("name", shell_complete=_names)
@output_option
def run(name: str, output: Output) -> None:
    """Submit a schedule's job now, besides those that are due."""
    from simcelery.board import engine
    from simcelery.board import schedules as board
    from simcelery.submission.publishing import publish

    with engine.begin() as connection:
        _, number = board.record_now(connection, name)
    publish([number])
    if output == "json":
        show_json({"submitted": number})
    elif output == "quiet":
        show_ids([number])
    else:
        say(f"submitted job {number} of schedule {name}")


@command("remove", "simcelery schedules remove nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@output_option
def remove(names: tuple[str, ...], output: Output) -> None:
    """Remove schedules; the jobs that they have submitted stay."""
    from simcelery.board import engine
    from simcelery.board import schedules as board

    with engine.begin() as connection:
        board.remove(connection, names)
    if output == "json":
        show_json({"removed": list(names)})
    elif output == "quiet":
        show_ids(names)
    else:
        say(f"removed {', '.join(names)}")


def _changed(names: Any, output: Output) -> None:
    _show(_read(names), output)


def _read(names: Any = ()) -> list[dict[str, Any]]:
    from simcelery.board import engine
    from simcelery.board import schedules as board

    with engine.begin() as connection:
        return board.listed(connection, names)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    last = {"id": row["last_job_id"], "state": row["last_state"]} if row["last_job_id"] else None
    return {
        **{name: jsonable(row[name]) for name in _SHOWN},
        **{name: jsonable(in_words.of_job(row, name)) for name in _OF_JOB},
        "parameters": jsonable(row["parameters"]),
        "last_job": last,
    }


def _show(rows: list[dict[str, Any]], output: Output) -> None:
    if output == "json":
        show_json([_record(row) for row in rows])
    elif output == "quiet":
        show_ids(row["name"] for row in rows)
    elif not rows:
        say("there are no schedules: simcelery schedules add NAME CRON WORKFLOW")
    else:
        columns = [
            Column("schedule", middle=True),
            Column("cron"),
            Column("workflow", middle=True),
            Column("due", wrapped=True),
            Column("last job", wrapped=True),
        ]
        show_table(columns, [_line(row) for row in rows])
        _name_left_over(rows)


def _name_left_over(rows: list[dict[str, Any]]) -> None:
    """Schedules that a settings file has added, and that are not in the one here: they go on all the same."""
    from simcelery.settings import get_settings

    here = get_settings().schedules
    if left := [row["name"] for row in rows if row["from_settings"] and row["name"] not in here]:
        note(
            f"simcelery: {', '.join(left)}: added by a settings file, but not in the one here; "
            f"to remove a schedule from the board, too: simcelery schedules remove {quote(left[0])}"
        )


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    workflow = str(in_words.of_job(row, "workflow"))
    return row["name"], row["cron"], workflow, in_words.due(row), in_words.last(row)


for _verb in (list_, add, apply, pause, resume, run, remove):
    schedules.add_command(_verb)
