"""``spool``: list outcomes that have not reached Postgres, and deliver them."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from simcelery.cli.options import Output, Verbs, command, output_option
from simcelery.cli.output import Column, note, say, show_ids, show_json, show_table
from simcelery.describe.words import ago, duration, many
from simcelery.errors import ServiceError

if TYPE_CHECKING:
    from simcelery.worker.outcomes.spool import Spooled


@command(
    "spool",
    "simcelery spool",
    "simcelery spool push",
    "simcelery spool -o json | jq length",
    cls=Verbs,
    invoke_without_command=True,
)
@output_option
@click.pass_context
def spool(ctx: click.Context, output: Output) -> None:
    """List outcomes that wait in the home folder because Postgres was unreachable when their jobs ended.

    Every worker with the same home delivers them as soon as it can; 'spool push' does so by hand.
    """
    ctx.default_map = {"push": {"output": output}}  # -o may stand before push
    if ctx.invoked_subcommand is not None:
        return
    from simcelery.settings import get_settings
    from simcelery.worker.outcomes.spool import waiting

    settings = get_settings()
    found = waiting(settings)
    ids = _ids(found)
    if output == "json":
        show_json([_record(one, ids) for one in found])
    elif output == "quiet":
        show_ids(ids.get(one.task_id, one.task_id) for one in found)
    elif not found:
        say(f"no outcomes are waiting in {settings.spool}")
    else:
        oldest = duration(time.time() - found[0].saved_at)
        say(f"{many(len(found), 'outcome')} in {settings.spool}, the oldest for {oldest}")
        _show(found, ids)
        say("to deliver them now: simcelery spool push")


def _ids(found: Sequence[Spooled]) -> dict[uuid.UUID, int]:
    """The jobs' ids, if this board can be reached and knows the jobs."""
    from simcelery.board import engine, reads

    if not found:
        return {}
    try:
        with engine.begin() as connection:
            return reads.ids_by_task_id(connection, [one.task_id for one in found])
    except ServiceError as error:
        note(f"simcelery: cannot show the jobs' ids: {error}")
        return {}


def _record(one: Spooled, ids: dict[uuid.UUID, int]) -> dict[str, Any]:
    return {
        "id": ids.get(one.task_id),
        "task_id": str(one.task_id),
        "outcome": str(one.report.outcome),
        "host": one.host,
        "board": one.board,
        "saved_at": dt.datetime.fromtimestamp(one.saved_at, dt.UTC).isoformat(),
        "path": str(one.path),
    }


def _show(found: Sequence[Spooled], ids: dict[uuid.UUID, int]) -> None:
    columns = [
        Column("job", right=True),
        Column("outcome", coloured=True),
        Column("host", middle=True),
        Column("saved", right=True),
        Column("board", middle=True),
        Column("task id", middle=True),
    ]
    rows = [
        (
            ids.get(one.task_id, "unknown"),
            one.report.outcome,
            one.host,
            ago(dt.datetime.fromtimestamp(one.saved_at, dt.UTC)),
            one.board,
            one.task_id,
        )
        for one in found
    ]
    show_table(columns, rows)


@command("push", "simcelery spool push", "simcelery --home /scratch/me spool push")
@output_option
def push(output: Output) -> None:
    """Deliver the waiting outcomes to the board.

    Safe to repeat, even while workers do the same. If an attempt was given up in the meantime, its outcome
    still counts unless the job has been claimed again; then it is only kept with the attempt. Exit code 3
    if the board is unreachable; nothing is lost.
    """
    from simcelery.settings import get_settings
    from simcelery.worker.outcomes.spool import deliver, waiting

    settings = get_settings()
    try:
        done = deliver(settings)
    except ServiceError as error:
        left = many(len(waiting(settings)), "outcome")
        raise type(error)(f"{error}; nothing is lost: {left} in {settings.spool}") from error
    if output == "json":
        show_json({"recorded": done.recorded, "late": done.late, "left": done.left})
    elif output == "table":
        parts = [
            f"{done.recorded:,} recorded" if done.recorded else "",
            f"{done.late:,} too late (kept with the attempt)" if done.late else "",
            f"{done.left:,} left (not on this board, or refused by it)" if done.left else "",
        ]
        say(", ".join(filter(None, parts)) or f"no outcomes are waiting in {settings.spool}")


spool.add_command(push)
