"""``limits``: how many jobs of a tag, a workflow or a queue, or on a host, may run at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from simcelery.cli.options import Output, Verbs, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.limits import LimitRow

_SHOWN = ("name", "most", "used", "waiting")
_MOST = 2**31 - 1


def _names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The limits of the board."""
    with suppress(Exception):  # tab completion must never print an error
        return [CompletionItem(row.name) for row in _read() if row.name.startswith(incomplete)]
    return []


@command(
    "limits",
    "simcelery limits set tag:vasp-licence 8        # never a ninth job with this tag",
    "simcelery limits set workflow:relax 200",
    "simcelery limits                               # how many are used, and what waits",
    "simcelery limits remove tag:vasp-licence",
    cls=Verbs,
    invoke_without_command=True,
)
@output_option
@click.pass_context
def limits(ctx: click.Context, output: Output) -> None:
    """List how many jobs of a tag, workflow, queue or host may run at once, how many do, how many wait.

    Limits are on the board: all workers obey them. A job whose limit is full is blocked, and 'simcelery
    explain' names the limit. On a host that is full nothing starts; its jobs stay pending, for other hosts.
    Of host:*, the limit of each host, those that run on the fullest one are shown. The table [limits] of
    simcelery.toml sets limits as well: see 'limits apply'.
    """
    ctx.default_map = {name: {"output": output} for name in ("list", "set", "remove", "apply")}
    if ctx.invoked_subcommand is None:
        _show(_read(), output)


@command("list", "simcelery limits list", "simcelery limits list -o json")
@output_option
def list_(output: Output) -> None:
    """List the limits, how many of each are used, and how many jobs wait."""
    _show(_read(), output)


@command(
    "set",
    "simcelery limits set tag:vasp-licence 8",
    "simcelery limits set queue:gpu 0   # nothing new starts",
    "simcelery limits set 'host:*' 2    # at most two at once on each host",
)
@click.argument("name", metavar="tag:NAME|workflow:NAME|queue:NAME|host:NAME", shell_complete=_names)
@click.argument("most", type=click.IntRange(0, _MOST), metavar="N")
@output_option
def set_(name: str, most: int, output: Output) -> None:
    """Let at most N such jobs run at the same time; 0: none. What runs already goes on.

    host:* holds for each host that has no limit of its own.
    """
    from simcelery.submission.limits import limits as there

    there.set(name, most)
    _show([row for row in _read() if row.name == name], output)


@command("remove", "simcelery limits remove tag:vasp-licence")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@output_option
def remove(names: tuple[str, ...], output: Output) -> None:
    """Remove limits by their names; what waits for them runs."""
    from simcelery.submission.limits import limits as there

    there.remove(*names)
    gone = sorted(set(names))
    if output == "json":
        show_json({"removed": gone})
    elif output == "quiet":
        show_ids(gone)
    else:
        say(f"removed {', '.join(gone)}")


@command("apply", "simcelery limits apply")
@output_option
def apply(output: Output) -> None:
    """Set the limits that [limits] in simcelery.toml gives; others stay as they are.

    Workers do this when they start for limits that the board does not have. Where it has another number, that
    of the board holds until somebody applies or sets it.
    """
    from simcelery.board import engine
    from simcelery.board.limits import checked, put
    from simcelery.settings import get_settings
    from simcelery.submission.lineage import submitter

    given = dict(checked(name, most) for name, most in get_settings().limits.items())
    if not given:
        raise UsageError("the settings have no limits: write [limits] into simcelery.toml")
    with engine.begin() as connection:
        put(connection, given, submitter())
    _show([row for row in _read() if row.name in given], output)


def _read() -> Sequence[LimitRow]:
    from simcelery.submission.limits import limits as there

    return there.list()


def _record(row: LimitRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _SHOWN}


def _show(rows: Sequence[LimitRow], output: Output) -> None:
    if output == "json":
        show_json([_record(row) for row in rows])
    elif output == "quiet":
        show_ids(row.name for row in rows)
    elif not rows:
        say("there are no limits: simcelery limits set tag:NAME N")
    else:
        columns = [Column("limit", middle=True), Column("used", right=True), Column("of", right=True)]
        numbers = [(row.name, f"{row.used:,}", f"{row.most:,}", f"{row.waiting:,}") for row in rows]
        show_table([*columns, Column("waiting", right=True)], numbers)


for _verb in (list_, set_, remove, apply):
    limits.add_command(_verb)
