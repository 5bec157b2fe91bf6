"""What a job is submitted with, now or by a schedule, besides its parameters."""

from __future__ import annotations

from typing import Any

import click

from simcelery.cli import escalations
from simcelery.cli.options import COUNT, F, Number, duration

_OPTIONS = (
    click.option("-p", "--priority", type=Number(0, 9), metavar="N", help="From 0 to 9; higher runs first."),
    click.option("-q", "--queue", help="Queue to put it in (default: the workflow's)."),
    click.option("-t", "--tag", "tags", multiple=True, help="A label to find it by (repeatable)."),
    click.option(
        "--max-attempts", type=COUNT, metavar="N", help="Number of attempts before it counts as failed."
    ),
    click.option("--time-limit", metavar="DURATION", help="Stop it after 90 (seconds), 1h30m, HH:MM:SS, …."),
    click.option(
        "--time-request",
        metavar="DURATION",
        help="How long it takes (default: as earlier jobs): a worker that ends sooner does not begin it.",
    ),
    click.option(
        "--cores", type=COUNT, metavar="N", help="Cores that it keeps busy: a worker must have them free."
    ),
    click.option("--gpus", type=COUNT, metavar="N", help="GPUs that it has for itself."),
    click.option(
        "--memory", metavar="SIZE", help="Memory of all its processes together, such as 8G; end it beyond."
    ),
    click.option(
        "--keep",
        type=click.Choice(["all", "failed", "none", "compressed"]),
        help="Which workdirs stay when it has ended (default: the workflow's).",
    ),
    click.option(
        "--on-oom",
        multiple=True,
        metavar="memory=x2,max=SIZE",
        help="After an attempt that ran out of memory, try again with more, up to max; also queue=NAME.",
    ),
    click.option(
        "--on-time-limit",
        multiple=True,
        metavar="time_limit=x1.5,max=DURATION",
        help="After one that reached its time limit, try again with a longer one; also queue=NAME.",
    ),
    click.option(
        "--on-walltime",
        multiple=True,
        metavar="queue=NAME",
        help="After one whose allocation ended, go on in another queue.",
    ),
)


def job_options(function: F) -> F:
    """``--priority``, ``--queue``, ``--cores`` and so on."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def of_job(chosen: dict[str, Any]) -> dict[str, Any]:
    """What click has of these options, and others, as `Options` takes them.

    Raises:
        UsageError: one is malformed.
    """
    times = {
        name: duration(f"--{name.replace('_', '-')}", chosen.pop(name))
        for name in ("time_limit", "time_request")
    }
    return chosen | {"on": escalations.asked(chosen)} | times
