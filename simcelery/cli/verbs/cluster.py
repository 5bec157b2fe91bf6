"""``cluster``: workers where the cores are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from simcelery.cli.cluster_profiles import ON, profile, profile_options
from simcelery.cli.cluster_tables import show, show_allocations, show_plan, show_started
from simcelery.cli.options import (
    COUNT,
    Number,
    Output,
    Verbs,
    WithCommand,
    command,
    command_of,
    duration,
    output_option,
)
from simcelery.cli.output import note, say, show_ids, show_json
from simcelery.describe import clusters as words
from simcelery.describe.words import many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.allocations import AllocationRow
    from simcelery.board.clusters import ClusterRow

_MOST = Number(0, 100_000)
_LONGEST_END = 300.0  # seconds that `stop --wait` waits


def _names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The clusters of the board."""
    with suppress(Exception):  # tab completion must never print an error
        return [CompletionItem(row.name) for row in _listed() if row.name.startswith(incomplete)]
    return []


@command(
    "cluster",
    "simcelery cluster start 2 --on local -- -c 4     # two workers on this machine",
    "simcelery cluster start 10 --on gpu              # ten batch jobs, as [clusters.gpu] says",
    "simcelery cluster auto gpu --min 0 --max 50      # as many as there is work for",
    "simcelery cluster                                # what runs, and what waits for what",
    "simcelery cluster report --since 7d              # core-hours: granted, busy, lost and idle",
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
        show(_listed(), output)


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
    "--on", required=True, help="A profile of the settings, [clusters.PROFILE], or a launcher.", **ON
)
@click.option("--name", help="Name of the cluster (default: that of the profile).")
@profile_options
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

    chosen = profile(given, command_of(ctx) or [])
    if dry_run:
        return show_plan(chosen, output)
    row = actions.start(get_settings(), chosen, count, submitter())
    if watch:
        return _follow(row.name)
    show_started(row, output)
    return None


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
    "--on", help="The profile, or a launcher, if there is no cluster NAME yet (default: NAME).", **ON
)
@profile_options
@output_option
@click.pass_context
def auto(
    ctx: click.Context, /, name: str, least: int, most: int, output: Output, on: str | None, **given: Any
) -> None:
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
    more = command_of(ctx) or []
    if there is not None:
        if on or more or any(value not in (None, ()) for value in given.values()):
            raise UsageError(f"cluster {name} has its profile: to change it, stop the cluster first")
        show_started(actions.auto(get_settings(), name, least, most), output)
        return
    chosen = profile({**given, "name": name, "on": on or name}, more)
    started = actions.start(get_settings(), chosen, least, submitter(), least, most)
    show_started(started, output)


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
        show(_listed(), output)
        return
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    row = actions.get(get_settings(), name)
    if output == "json":
        show([row], output)
    else:
        show_allocations(row, output)


@command(
    "scale",
    "simcelery cluster scale gpu 20",
    "simcelery cluster scale gpu 0   # keep it, without allocations",
)
@click.argument("name", shell_complete=_names)
@click.argument("count", type=_MOST, metavar="N")
@output_option
def scale(name: str, count: int, output: Output) -> None:
    """Keep N allocations from now on. Those that are too many are cancelled, waiting ones first.

    The workers of a running one are told to end: their jobs are put back on the board and run elsewhere.
    """
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    show_started(actions.scale(get_settings(), name, count), output)


@command(
    "report",
    "simcelery cluster report",
    "simcelery cluster report gpu --since 30d --by tag",
    "simcelery cluster report --since 60d --until 30d -o json | jq .total.core_hours",
)
@click.argument("name", required=False, shell_complete=_names)
@click.option(
    "--since",
    metavar="DURATION",
    default="7d",
    show_default=True,
    help="From so long ago: 90 (seconds), 1h30m, 2d, ….",
)
@click.option("--until", metavar="DURATION", help="Until so long ago (default: until now).")
@click.option(
    "--by",
    type=click.Choice(["tag", "workflow", "submitter"]),
    help="Also what jobs held by tag (a job with several counts for each), workflow or submitter.",
)
@click.option(
    "-n", "--limit", type=COUNT, default=50, show_default=True, metavar="N", help="At most so many of these."
)
@output_option
def report(
    name: str | None, since: str, until: str | None, by: str | None, limit: int, output: Output
) -> None:
    """Show what clusters, or one of them, have cost: core-hours granted, busy, lost and idle.

    Granted are the cores of each allocation for as long as it ran within the time asked for. Busy is what
    jobs held of them: the cores that a job asks for, else one, for as long as its attempts ran that
    succeeded, failed by themselves or still run. Lost is what attempts held that ended otherwise: with
    their worker, with the allocation, for want of memory, cancelled, or put back. The rest is idle;
    starting is the part of it before the first worker came. cpu is the CPU time of attempts for which it
    was measured, of what these held.

    Workers that no cluster has started are not in it. With -o quiet, prints the names of the clusters.
    """
    from simcelery.board import asking
    from simcelery.board.reads import costs
    from simcelery.cli import cluster_report
    from simcelery.describe.costs import as_json, remarks, when

    begin, end = duration("--since", since) or 0.0, duration("--until", until) or 0.0
    if begin <= 0:
        raise UsageError("--since must be longer than 0: write 12h, 7d or 30d")
    if not 0 <= end < begin:
        raise UsageError("--until must be a shorter time ago than --since")
    with asking.begin() as connection:
        told = costs.report(connection, begin, end, name, by, limit)
    if name is not None and not told.costs:
        raise _no_cluster(name)
    if output == "json":
        show_json(as_json(told, by))
    elif output == "quiet":
        show_ids(cost.name for cost in told.costs)
    elif not told.costs:
        note(f"no allocation of a cluster has run {when(told.window, not end)}")
    else:
        cluster_report.show(told, not end, by)
        for said in remarks(told.window, costs.together(told.costs)):
            note(said)


@command("resume", "simcelery cluster resume gpu")
@click.argument("name", shell_complete=_names)
@output_option
def resume(name: str, output: Output) -> None:
    """Submit again at once. A cluster is paused when three allocations in a row were of no use."""
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    show_started(actions.resume(get_settings(), name), output)


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
        show(rows, output)
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
            say(f"  {line}")  # so that no line of it looks like one of ours
    if not found:
        note(f"cluster {name} has no allocations, nor had any within the last hour")
    return None


def _listed(name: str | None = None) -> list[ClusterRow]:
    from simcelery.board import clusters, engine
    from simcelery.settings import get_settings

    with engine.begin(get_settings()) as connection:
        return clusters.listed(connection, name)


def _no_cluster(name: str) -> UsageError:
    return UsageError(f"there is no cluster {name!r}; 'simcelery cluster list' shows those that there are")


def _allocations_by(name: str) -> list[AllocationRow]:
    """Those of a cluster, or the one of this name or id."""
    from simcelery.board import allocations, engine
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    settings = get_settings()
    if _listed(name):
        return actions.allocations_of(settings, name)
    with engine.begin(settings) as connection:
        found = allocations.find(connection, name)
    if found is None:
        raise UsageError(f"there is no cluster or allocation {name!r}; see 'simcelery cluster list'")
    return [found]


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
            row = actions.get(settings, name)
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
    "report": report,
}
for _verb in _SUBVERBS.values():
    cluster.add_command(_verb)
