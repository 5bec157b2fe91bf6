"""``workers``: list live workers, and those that stopped recently."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from simcelery.cli.options import Output, command, output_option
from simcelery.cli.output import Column, is_terminal, note, say, show_ids, show_json, show_table
from simcelery.describe.outdated import in_sentences
from simcelery.describe.plain import jsonable
from simcelery.describe.words import ago, compact

_DAY = 86_400.0
_COLUMNS = (
    Column("worker", middle=True),
    Column("state", coloured=True),
    Column("busy", right=True),
    Column("queues", wrapped=True),
    Column("running", spare=True),
    Column("host", middle=True, spare=True),
    Column("pid", right=True, spare=True),
    Column("started", right=True, spare=True),
    Column("renewed", right=True),
    Column("allocation", middle=True),
    Column("version", middle=True),
)


@command(
    "workers", "simcelery workers", "simcelery workers --all", "simcelery workers -o json | jq '.[].host'"
)
@click.option("--all", "all_", is_flag=True, help="Also list workers that stopped more than a day ago.")
@output_option
def workers(all_: bool, output: Output) -> None:
    """List live workers, and those that stopped within the last day.

    A worker is live; quarantined (alive, but takes no jobs because its last ones all failed quickly);
    overdue (its lease has expired, so its jobs will soon be rescued); or ended.
    """
    from simcelery.board import engine, reads, sources

    with engine.begin() as connection:
        found = reads.workers(connection, gone_within=None if all_ else _DAY)
        submitted = sources.submitted(connection)
    if output == "json":
        show_json([jsonable(worker) for worker in found])
    elif output == "quiet":
        show_ids(worker["nodename"] for worker in found)
    elif found:
        _show(found)
        live = [worker for worker in found if worker["state"] in ("live", "quarantined")]
        for text, advice in in_sentences(sources.differing(live, submitted)):
            say(f"{text}: {advice}")
    else:
        note(
            "no worker yet; start one with: celery -A simcelery worker"
            if all_
            else "no worker in the last day; --all also lists older ones"
        )


def _show(found: list[dict[str, Any]]) -> None:
    rows = [_cells(worker) for worker in found]
    kept = [
        i for i, column in enumerate(_COLUMNS) if not is_terminal() or _says_something(column.name, found)
    ]
    show_table([_COLUMNS[i] for i in kept], [[row[i] for i in kept] for row in rows])
    noted = [worker for worker in found if worker["note"] and worker["state"] != "ended"]
    if noted:
        say()
    for worker in noted:
        say(f"{worker['nodename']}: {worker['note']}")


def _says_something(column: str, found: list[dict[str, Any]]) -> bool:
    """Whether a column is worth its space on a terminal."""
    if column == "host":
        return not all(worker["nodename"].endswith(f"@{worker['host']}") for worker in found)
    if column == "allocation":
        return any(worker["scheduler_job_id"] for worker in found)
    return column != "version" or len({worker["version"] for worker in found}) > 1


def _cells(worker: dict[str, Any]) -> tuple[object, ...]:
    now: dt.datetime = worker["now"]
    return (
        worker["nodename"],
        worker["state"],
        f"{len(worker['running'])}/{worker['concurrency']}",
        ", ".join(worker["queues"]),
        compact(worker["running"], 6),
        worker["host"],
        worker["pid"],
        ago(worker["started_at"], now),
        ago(worker["renewed_at"], now),
        worker["scheduler_job_id"],
        worker["version"],
    )
