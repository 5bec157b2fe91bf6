"""The flags that say how the workers of a cluster are started, and the profile that they make."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from simcelery.cli.options import COUNT, F
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.cluster.profile import Profile

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


def _launchers(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles of the settings, and the launchers."""
    with suppress(Exception):
        from simcelery.schedulers.launchers import LAUNCHERS
        from simcelery.settings import get_settings

        found = [*get_settings().clusters, *LAUNCHERS]
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]
    return []


ON: dict[str, Any] = {"metavar": "PROFILE|local|slurm|pbs|sge", "shell_complete": _launchers}


def profile_options(function: F) -> F:
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


def profile(given: dict[str, Any], more: list[str]) -> Profile:
    """The profile of the settings, with what the flags say instead."""
    from simcelery.cluster.profile import checked, words
    from simcelery.schedulers.launchers import LAUNCHERS
    from simcelery.settings import get_settings

    settings, on = get_settings(), given["on"]
    flags = {name: given[name] for name in _OF_PROFILE if given[name] not in (None, ())}
    there = settings.clusters.get(on)
    if there is None and on not in LAUNCHERS:
        known = ", ".join(settings.clusters) or "none"
        raise UsageError(
            f"--on {on}: there is no [clusters.{on}] in the settings (they have: {known}), and it is none of "
            f"{', '.join(LAUNCHERS)}"
        )
    values = {"launcher": on, **(there or {}), **flags}
    try:
        if more:
            key = "worker" if values["launcher"] == "local" else "options"
            values[key] = [*words(values.get(key) or []), *more]
        return checked(settings, given["name"] or on, values)
    except (UsageError, ValueError) as error:
        raise UsageError(f"cluster {given['name'] or on}: {error}") from None
