"""``up``: start the embedded servers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli.options import COUNT, Output, command, output_option
from simcelery.cli.output import note, say, show_ids, show_json
from simcelery.describe.plain import jsonable
from simcelery.describe.words import many

if TYPE_CHECKING:
    from simcelery.board.clusters import ClusterRow
    from simcelery.services import Services
    from simcelery.settings import Settings


@command("up", "simcelery up", "simcelery up --workers 2", "simcelery --home /scratch/me up")
@click.option(
    "--workers", type=COUNT, metavar="N", help="Also start N workers in this folder; they share the cores."
)
@output_option
def up(workers: int | None, output: Output) -> None:
    """Start the embedded servers, Postgres and Redis, and bring their board up to date.

    They need no root and listen on this machine only. Their data is in the folder given by the setting
    home. Servers that are already running are left alone. Workers that die are started again; 'simcelery
    down' ends them with the servers.
    """
    from simcelery import services
    from simcelery.board import migrate
    from simcelery.settings import get_settings

    settings = get_settings()
    running = services.up(settings)
    before, after = migrate.upgrade(_of_embedded(settings, running))
    servers = services.status(settings)
    cluster = _start_workers(settings, workers)
    if output == "json":
        more = {"workers": cluster.wanted} if cluster else {}
        show_json({"servers": [_server(one, running) for one in servers], "schema": after, **more})
    elif output == "quiet":
        show_ids(one.name for one in servers)
    else:
        for one in servers:
            what = "started" if one.name in running.started else "already running"
            say(f"{_TITLES[one.name]} {one.version} on 127.0.0.1:{one.port}: {what}")
        say(f"board: schema {after}{'' if before == after else ' (just upgraded)' if before else ' (new)'}")
        say(f"data in {settings.home}, URLs in {settings.services_file}")
        if cluster:
            say(f"{many(cluster.wanted, 'worker')}: see 'simcelery cluster list {cluster.name}'")
        else:
            say("next: celery -A simcelery worker    (in the folder of your workflows)")
    _say_what_is_not_used(settings)


def _start_workers(settings: Settings, count: int | None) -> ClusterRow | None:
    """Those that are asked for; what was to run before the servers were stopped is looked after again."""
    from simcelery.cluster import actions
    from simcelery.submission.lineage import submitter

    if count is None:
        if settings.database_url is None:
            actions.attend_all(settings)
        return None
    return actions.with_servers(settings, count, submitter())


_TITLES = {"postgres": "Postgres", "valkey": "Redis (Valkey)"}


def _of_embedded(settings: Settings, running: Services) -> Settings:
    """Settings that point to the embedded servers, whatever URLs are set."""
    from simcelery.setting_kinds import Secret

    return replace(
        settings,
        database_url=Secret(running.database_url),
        broker_url=Secret(running.broker_url),
        prepared_statements=False,
    )


def _server(status: Any, running: Services) -> dict[str, Any]:
    shown = {
        name: str(value) if name in ("data_folder", "log") else value for name, value in vars(status).items()
    }
    return {**jsonable(shown), "started": status.name in running.started}


def _say_what_is_not_used(settings: Settings) -> None:
    for name in ("database_url", "broker_url"):
        if getattr(settings, name) is not None:
            note(f"note: {name} is set, so commands and workers here use it instead of the embedded server")
