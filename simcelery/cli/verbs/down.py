"""``down``: stop the embedded servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import remark, say, show_json

if TYPE_CHECKING:
    from simcelery.settings import Settings


@command("down", "simcelery down")
@output_option
def down(output: Output) -> None:
    """Stop the embedded servers. Their data is kept: 'simcelery up' starts them again where they stopped.

    Workers of 'simcelery up --workers' end first; their jobs are put back on the board. Jobs of other workers
    continue; these workers wait for the board to come back.
    """
    from simcelery import services
    from simcelery.settings import get_settings

    settings = get_settings()
    left = _end_workers(settings)
    waits = _what_waits() if settings.database_url is None else ""
    stopped = services.down(settings)
    if left:
        remark(
            "not all workers of 'simcelery up --workers' have ended yet; they will wait until 'simcelery up'"
        )
    if stopped and waits:
        remark(f"{waits} will wait until 'simcelery up'")
    if output == "json":
        show_json({"stopped": stopped})
    elif output == "table":
        where = settings.home
        say(f"stopped; the data is kept in {where}" if stopped else f"no servers were running in {where}")


def _end_workers(settings: Settings) -> bool:
    """End those that came with the servers; whether some are left."""
    from simcelery.board import engine
    from simcelery.cluster import actions
    from simcelery.cluster.controller import longest_end
    from simcelery.errors import SimceleryError

    if settings.database_url is not None:
        return False
    try:
        return not actions.end_with_servers(settings, longest_end(settings))
    except SimceleryError:
        return False  # the servers do not run, or their board is of another version
    finally:
        engine.dispose()


def _what_waits() -> str:
    """``2 workers and 1 running job``; nothing if there are none, or the board does not say."""
    from simcelery.board import engine, reads
    from simcelery.describe.words import many
    from simcelery.errors import SimceleryError

    try:
        with engine.begin() as connection:
            workers = len(reads.workers(connection, live_only=True))
            running = reads.counts(connection, reads.Filter(states=["running"]))
    except SimceleryError:
        return ""
    finally:
        engine.dispose()
    jobs = sum(running.values())
    return " and ".join(
        many(number, noun) for number, noun in ((workers, "worker"), (jobs, "running job")) if number
    )
