"""``cluster``: workers where the cores are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from contextlib import suppress
from shlex import join, split
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from simcelery.cli.options import (
    COUNT,
    F,
    Number,
    Output,
    Verbs,
    WithCommand,
    command,
    command_of,
    output_option,
)
from simcelery.cli.output import Column, note, remark, say, show_ids, show_json, show_table
from simcelery.describe import clusters as words
from simcelery.describe.words import ago, duration, many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.allocations import AllocationRow
    from simcelery.board.clusters import ClusterRow
    from simcelery.cluster.profile import Profile

_MOST = Number(0, 100_000)
_LONGEST_END = 300.0  # seconds that `stop --wait` waits
_OF_PROFILE = (
    "partition",
    "account",
    "cores",
    "memory",
    "gpus",
    "walltime",
    "nodes",
    "each_node",
    "setup",
    "worker",
)


def _names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The clusters of the board."""
    with suppress(Exception):  # tab completion must never print an error
        return [CompletionItem(row.name) for row in _listed() if row.name.startswith(incomplete)]
    return []


def _launchers(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles of the settings, and the launchers."""
    with suppress(Exception):
        from simcelery.schedulers.launchers import LAUNCHERS
        from simcelery.settings import get_settings

        found = [*get_settings().clusters, *LAUNCHERS]
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]
    return []


@command(
    "cluster",
    "simcelery cluster start 2 --on local -- -c 4     # two workers on this machine",
    "simcelery cluster start 10 --on gpu              # ten batch jobs, as [clusters.gpu] says",
    "simcelery cluster auto gpu --min 0 --max 50      # as many as there is work for",
    "simcelery cluster                                # what runs, and what waits for what",
    "simcelery cluster stop gpu",
    cls=Verbs,
    invoke_without_command=True,
)
@output_option
@click.pass_context
def cluster(ctx: click.Context, output: Output) -> None:
    """Start workers on this machine, or through Slurm, PBS or SGE, and keep as many as are wanted.

    A cluster is a number of allocations: batch jobs that start workers; on this machine each is a worker of
    its own. One that ends is replaced. All is on the board, so that each machine can list it.
    """
    ctx.default_map = {name: {"output": output} for name in _SUBVERBS}
    if ctx.invoked_subcommand is None:
        _show(_listed(), output)


_ON: dict[str, Any] = {"metavar": "PROFILE|local|slurm|pbs|sge", "shell_complete": _launchers}


def _profile_options(function: F) -> F:
    """What a profile holds, as flags; they take precedence over the profile of the settings."""
    options = (
        click.option("--partition", metavar="NAME", help="Partition, or queue; Slurm takes several: a,b."),
        click.option("--account", metavar="NAME", help="Account, or project."),
        click.option("--walltime", metavar="DURATION", help="How long each allocation lasts, such as 2h."),
        click.option("--nodes", type=COUNT, metavar="N", help="Nodes of each allocation (Slurm)."),
        click.option("--each-node", type=COUNT, metavar="N", help="Workers on each node (default: 1)."),
        click.option("--cores", type=COUNT, metavar="N", help="Cores on each node."),
        click.option("--memory", metavar="SIZE", help="Memory on each node, such as 64G."),
        click.option("--gpus", type=COUNT, metavar="N", help="GPUs on each node."),
        click.option(
            "--setup", multiple=True, metavar="LINE", help="A shell line before the worker (repeatable)."
        ),
        click.option("--worker", metavar="OPTIONS", help="Options of each worker, such as '-c 4 -Q cpu'."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command(
    "start",
    "simcelery cluster start 2 --on local -- -c 4 -Q cpu      # after --: options of the workers",
    "simcelery cluster start 10 --on gpu                      # as [clusters.gpu] in simcelery.toml says",
    "simcelery cluster start 4 --on slurm --partition short --walltime 2h --cores 16 -- --constraint=avx512",
    "simcelery cluster start 4 --on gpu --dry-run             # the script, and when it would start",
    cls=WithCommand,
)
@click.argument("count", type=_MOST, metavar="N")
@click.option(
    "--on", required=True, help="A profile of the settings, [clusters.PROFILE], or a launcher.", **_ON
)
@click.option("--name", help="Name of the cluster (default: that of the profile).")
@_profile_options
@click.option(
    "--dry-run", is_flag=True, help="Show what would be submitted, and what the scheduler says to it."
)
@click.option("--watch", is_flag=True, help="Stay in front; Ctrl-C stops the cluster.")
@output_option
@click.pass_context
def start(
    ctx: click.Context, /, count: int, dry_run: bool, watch: bool, output: Output, **given: Any
) -> int | None:
    """Start a cluster of N allocations.

    What follows -- goes to the command that submits, such as sbatch; with --on local, to the workers.
    """
    from simcelery.cluster import actions
    from simcelery.settings import get_settings
    from simcelery.submission.lineage import submitter

    profile = _profile(given, command_of(ctx) or [])
    if dry_run:
        return _show_plan(profile, output)
    row = actions.start(get_settings(), profile, count, submitter())
    if watch:
        return _follow(row.name)
    return _show_started(row, output)


@command(
    "auto",
    "simcelery cluster auto gpu --min 0 --max 50              # a cluster that was started, or a profile",
    "simcelery cluster auto here --on local --max 4 -- -c 2",
    cls=WithCommand,
)
@click.argument("name", shell_complete=_names)
@click.option(
    "--min", "least", type=_MOST, default=0, show_default=True, metavar="N", help="At least so many."
)
@click.option("--max", "most", type=_MOST, required=True, metavar="N", help="At most so many.")
@click.option(
    "--on", help="The profile, or a launcher, if there is no cluster NAME yet (default: NAME).", **_ON
)
@_profile_options
@output_option
@click.pass_context
def auto(
    ctx: click.Context, /, name: str, least: int, most: int, output: Output, on: str | None, **given: Any
) -> int | None:
    """Keep as many allocations as there is work for, between --min and --max.

    Counted are pending jobs that the workers could run, by their queues and by the cores, memory and GPUs
    they ask for; not those that are blocked, scheduled or held. A worker that has had nothing to do for a
    minute leaves. 'cluster scale' gives it a fixed number again.
    """
    from simcelery.cluster import actions
    from simcelery.settings import get_settings
    from simcelery.submission.lineage import submitter

    if most < least:
        raise UsageError(f"--max {most} is below --min {least}")
    there = next((row for row in _listed(name) if row.state != "stopped"), None)
    if there is not None:
        return _show_started(actions.auto(get_settings(), name, least, most), output)
    profile = _profile({**given, "name": name, "on": on or name}, command_of(ctx) or [])
    started = actions.start(get_settings(), profile, least, submitter(), least, most)
    return _show_started(started, output)


@command(
    "list",
    "simcelery cluster list",
    "simcelery cluster list gpu   # its allocations",
    "simcelery cluster list -o json",
)
@click.argument("name", required=False, shell_complete=_names)
@output_option
def list_(name: str | None, output: Output) -> None:
    """List the clusters; or the allocations of one, with those that ended within the last hour."""
    if name is None:
        _show(_listed(), output)
        return
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    row = actions.get(get_settings(), name)
    if output == "json":
        _show([row], output)
    else:
        _show_allocations(row, output)


@command(
    "scale",
    "simcelery cluster scale gpu 20",
    "simcelery cluster scale gpu 0   # keep it, without allocations",
)
@click.argument("name", shell_complete=_names)
@click.argument("count", type=_MOST, metavar="N")
@output_option
def scale(name: str, count: int, output: Output) -> int | None:
    """Keep N allocations from now on. Those that are too many are cancelled, waiting ones first.

    The workers of a running one are told to end: their jobs are put back on the board and run elsewhere.
    """
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    return _show_started(actions.scale(get_settings(), name, count), output)


@command("resume", "simcelery cluster resume gpu")
@click.argument("name", shell_complete=_names)
@output_option
def resume(name: str, output: Output) -> int | None:
    """Submit again at once. A cluster is paused when three allocations in a row were of no use."""
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    return _show_started(actions.resume(get_settings(), name), output)


@command("stop", "simcelery cluster stop gpu", "simcelery cluster stop gpu cpu --wait")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_names)
@click.option("--wait", is_flag=True, help="Wait until all allocations have ended.")
@output_option
def stop(names: tuple[str, ...], wait: bool, output: Output) -> int | None:
    """Cancel all allocations of clusters. Jobs that run there are put back on the board."""
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    settings = get_settings()
    for name in names:  # all are there, or nothing is done
        actions.get(settings, name)
    rows = [actions.stop(settings, name) for name in names]
    left = [row for row in rows if wait and not actions.wait_for_end(settings, row.name, _LONGEST_END)]
    rows = [actions.get(settings, name) for name in names] if wait else rows
    if output == "table":
        for row in rows:
            going = f"{many(row.live, 'allocation')} being cancelled" if row.live else "nothing of it is left"
            say(f"cluster {row.name} is stopped: {going}")
    else:
        _show(rows, output)
    return 1 if left else None


@command("logs", "simcelery cluster logs gpu", "simcelery cluster logs simcelery-gpu-1f2e3d4c --tail 100")
@click.argument("name", metavar="CLUSTER|ALLOCATION", shell_complete=_names)
@click.option("--tail", type=COUNT, default=20, show_default=True, metavar="N", help="Lines of each.")
def logs(name: str, tail: int) -> int | None:
    """Show the last lines that allocations have printed: their setup and their workers.

    They are read from the home, on a machine that sees it. Elsewhere there are the last lines of those that
    have ended.
    """
    from simcelery.cluster.environment import folder_of
    from simcelery.execution.command import last_lines
    from simcelery.settings import get_settings

    settings = get_settings()
    found = _allocations_by(name)
    for one in found:
        file = folder_of(settings, one.cluster) / f"{one.name}.out"
        text = last_lines(file, tail, 1 << 20) or "\n".join((one.tail or "").splitlines()[-tail:])
        say(f"== {one.name} ({one.state}) {words.why(one)}".rstrip())
        for line in text.splitlines() or [f"(nothing yet; its output goes to {file})"]:
            say(line)
    if not found:
        note(f"cluster {name} has no allocations, nor had any within the last hour")
    return None


def _profile(given: dict[str, Any], more: list[str]) -> Profile:
    """The profile of the settings, with what the flags say instead."""
    from simcelery.cluster.profile import checked
    from simcelery.schedulers.launchers import LAUNCHERS
    from simcelery.settings import get_settings

    settings, on = get_settings(), given["on"]
    flags = {name: given[name] for name in _OF_PROFILE if given[name] not in (None, ())}
    if "worker" in flags:
        flags["worker"] = split(flags["worker"])
    there = settings.clusters.get(on)
    if there is None and on not in LAUNCHERS:
        known = ", ".join(settings.clusters) or "none"
        raise UsageError(
            f"--on {on}: there is no [clusters.{on}] in the settings (they have: {known}), and it is none of "
            f"{', '.join(LAUNCHERS)}"
        )
    values = {"launcher": on, **(there or {}), **flags}
    if more:
        key = "worker" if values["launcher"] == "local" else "options"
        before = values.get(key) or []
        values[key] = [*(split(before) if isinstance(before, str) else before), *more]
    try:
        return checked(settings, given["name"] or on, values)
    except UsageError as error:
        raise UsageError(f"cluster {given['name'] or on}: {error}") from None


def _listed(name: str | None = None) -> list[ClusterRow]:
    from simcelery.board import clusters, engine
    from simcelery.settings import get_settings

    with engine.begin(get_settings()) as connection:
        return clusters.listed(connection, name)


def _allocations_by(name: str) -> list[AllocationRow]:
    """Those of a cluster, or the one of this name or id."""
    from simcelery.board import clusters, engine
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    settings = get_settings()
    if _listed(name):
        return actions.allocations_of(settings, name)
    with engine.begin(settings) as connection:
        of_all = [row.name for row in clusters.listed(connection)]
    for one in (one for each in of_all for one in actions.allocations_of(settings, each)):
        if name in (one.name, one.scheduler_id):
            return [one]
    raise UsageError(f"there is no cluster or allocation {name!r}; see 'simcelery cluster list'")


def _show_plan(profile: Profile, output: Output) -> int | None:
    from simcelery.cluster import actions
    from simcelery.schedulers.asking import Refused, Unknown
    from simcelery.settings import get_settings

    refused, told = None, None
    script, header = "", list[str]()
    try:
        script, header, told = actions.plan(get_settings(), profile)
    except (Refused, Unknown) as error:
        refused = str(error)
    if output == "json":
        at = told.starts_at.isoformat() if told and told.starts_at else None
        show_json({"script": script, "options": header, "refused": refused, "starts_at": at})
    elif refused is None:
        say(script)
        say(f"options: {join(header) or 'none'}")
        say(
            f"{profile.launcher} says: {told.told}"
            if told
            else f"{profile.launcher} does not say when it would start"
        )
    if refused is not None and output != "json":
        raise UsageError(f"it would not be taken: {refused}")
    return 1 if refused else None


def _show_started(row: ClusterRow, output: Output) -> int | None:
    """What has come of it, and whether it was refused."""
    if output != "table":
        _show([row], output)
        return None
    what = (
        f"{many(row.live, 'allocation')}, {words.wanted(row)} wanted"
        if row.live
        else f"{words.wanted(row)} wanted"
    )
    say(
        f"cluster {row.name} on {row.launcher}: {what}; "
        f"'simcelery cluster list {row.name}' shows what becomes of them"
    )
    wrong = words.trouble(row, _now())
    said = wrong and words.sentence(wrong)
    if said is None and row.failed:
        from simcelery.cluster import actions
        from simcelery.settings import get_settings

        ended = [one for one in actions.allocations_of(get_settings(), row.name) if one.state == "ended"]
        said = f"{ended[-1].name}: {words.why(ended[-1])}" if ended else None
    if said is not None:
        remark(said)
    return None


def _show(rows: Iterable[ClusterRow], output: Output) -> None:
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    rows = list(rows)
    if output == "json":
        show_json([words.as_json(row, actions.allocations_of(get_settings(), row.name)) for row in rows])
    elif output == "quiet":
        show_ids(row.name for row in rows)
    elif not rows:
        say("there is no cluster: simcelery cluster start N --on local")
    else:
        columns = [
            Column("cluster", middle=True),
            Column("on", middle=True),
            Column("state", coloured=True),
            Column("wanted", right=True),
            Column("waiting", right=True),
            Column("running", right=True),
            Column("started by", middle=True, spare=True),
            Column("started", right=True, spare=True),
        ]
        show_table(columns, [_cells(row) for row in rows])
        for found in filter(None, (words.trouble(row, _now()) for row in rows)):
            say(words.sentence(found))


def _cells(row: ClusterRow) -> tuple[object, ...]:
    where = f"{row.launcher} ({row.host})" if row.host else row.launcher
    return (
        row.name,
        where,
        words.state(row),
        words.wanted(row),
        row.live - row.running,
        row.running,
        row.started_by,
        ago(row.started_at, _now()),
    )


def _show_allocations(row: ClusterRow, output: Output) -> None:
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    found = actions.allocations_of(get_settings(), row.name)
    if output == "quiet":
        show_ids(one.name for one in found)
        return
    columns = [
        Column("allocation", middle=True),
        Column("id", middle=True),
        Column("state", coloured=True),
        Column("workers", right=True),
        Column("host", middle=True, spare=True),
        Column("starts", right=True, spare=True),
        Column("ends", right=True, spare=True),
        Column("why", wrapped=True),
    ]
    show_table(columns, [_allocation(one) for one in found])
    if found_wrong := words.trouble(row, _now()):
        say(words.sentence(found_wrong))


def _allocation(one: AllocationRow) -> tuple[object, ...]:
    ends = one.ended_at or one.ends_at
    return (
        one.name,
        one.scheduler_id if one.scheduler_id != one.name else "",
        one.state,
        one.workers,
        " ".join(one.hosts),
        _when(one.starts_at),
        _when(ends),
        words.why(one),
    )


def _when(moment: dt.datetime | None) -> str:
    """``5 min ago``, or ``in 2 h``."""
    if moment is None:
        return ""
    now = _now()
    return ago(moment, now) if moment <= now else f"in {duration((moment - now).total_seconds())}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _follow(name: str) -> int | None:
    """Say what becomes of its allocations until it is stopped; Ctrl-C stops it."""
    import time

    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    settings = get_settings()
    known: dict[str, str] = {}
    stopping = False
    while True:
        try:
            row = actions.attend(settings, name)
            for one in actions.allocations_of(settings, name):
                now = f"{one.state} {words.why(one)}".rstrip()
                if known.get(one.name) != now:
                    known[one.name] = now
                    say(f"{one.name}: {now}")
            if row.state == "stopped" and not row.live:
                return None
            time.sleep(1)
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
            say(f"stopping cluster {name}; Ctrl-C again leaves it to end by itself")
            actions.stop(settings, name)


_SUBVERBS = {
    "start": start,
    "auto": auto,
    "list": list_,
    "scale": scale,
    "resume": resume,
    "stop": stop,
    "logs": logs,
}
for _verb in _SUBVERBS.values():
    cluster.add_command(_verb)
