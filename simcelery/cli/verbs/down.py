"""``down``: stop the embedded servers."""

from __future__ import annotations

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import say, show_json


@command("down", "simcelery down")
@output_option
def down(output: Output) -> None:
    """Stop the embedded servers. Their data is kept: 'simcelery up' starts them again where they stopped.

    Running jobs continue; their workers wait for the board to come back.
    """
    from simcelery import services
    from simcelery.settings import get_settings

    settings = get_settings()
    stopped = services.down(settings)
    if output == "json":
        show_json({"stopped": stopped})
    elif output == "table":
        where = settings.home
        say(f"stopped; the data is kept in {where}" if stopped else f"no servers were running in {where}")
