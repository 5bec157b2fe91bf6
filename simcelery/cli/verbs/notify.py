"""``notify``: who is told about which jobs, and whether that works."""

from __future__ import annotations

from typing import Any

import click

from simcelery.cli.options import Output, Verbs, command, output_option
from simcelery.cli.output import Column, say, show_ids, show_json, show_table
from simcelery.describe.plain import jsonable
from simcelery.describe.words import ago, many
from simcelery.errors import UsageError

_SHOWN = ("id", "events", "workflow", "tags", "submitted_by", "submitted_at", "done_at")
_LAST = ("event", "created_at", "tries", "sent_at", "given_up_at", "error")


@command(
    "notify",
    "simcelery submit emt.relax --each '*.cif' --notify https://ntfy.sh/my-topic --on done,first-failure",
    "simcelery notify",
    "simcelery notify test mailto:me@example.org",
    "simcelery notify remove 3",
    cls=Verbs,
    invoke_without_command=True,
)
@output_option
@click.pass_context
def notify(ctx: click.Context, output: Output) -> None:
    """List who is told about which submissions, and what became of the last notification of each event.

    'submit --notify' subscribes: http and https URLs are sent JSON (hooks.slack.com, hosts called ntfy, and
    URLs that end in #slack or #ntfy what these understand), mailto: a mail. Of a URL only the host is shown.
    """
    ctx.default_map = {name: {"output": output} for name in ("list", "test", "remove")}
    if ctx.invoked_subcommand is None:
        _list(output)


@command("list", "simcelery notify list", "simcelery notify list -o json")
@output_option
def list_(output: Output) -> None:
    """List the subscriptions, newest first."""
    _list(output)


def _list(output: Output) -> None:
    from simcelery.board import engine, subscriptions

    with engine.begin() as connection:
        found = subscriptions.listed(connection)
        told = subscriptions.told(connection, [row["id"] for row in found])
    found = [{**row, "told": told.get(row["id"], [])} for row in found]
    if output == "json":
        show_json([_record(row) for row in found])
    elif output == "quiet":
        show_ids(row["id"] for row in found)
    elif not found:
        say("nobody is told about any jobs: simcelery submit … --notify URL")
    else:
        _show(found)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    from simcelery.notifying.addresses import masked

    last = {name: jsonable(row[name]) for name in _LAST} if row["event"] else None
    return {
        **{name: jsonable(row[name]) for name in _SHOWN},
        "address": masked(row["address"]),
        "last": last,
        "events_told": [{name: jsonable(one[name]) for name in _LAST} for one in row["told"]],
    }


def _show(found: list[dict[str, Any]]) -> None:
    from simcelery.notifying.addresses import masked

    columns = [
        Column("id", right=True),
        Column("to", middle=True),
        Column("of"),
        Column("workflow", middle=True),
        Column("tags", spare=True),
        Column("told", wrapped=True),
    ]
    rows = [
        (
            row["id"],
            masked(row["address"]),
            ", ".join(row["events"]),
            row["workflow"],
            ", ".join(row["tags"]),
            _became(row),
        )
        for row in found
    ]
    show_table(columns, rows)


def _became(row: dict[str, Any]) -> str:
    """What became of the last notification of each event."""
    said, earlier = [], ""
    for one in row["told"]:
        said.append(f"{one['event']}: {_delivery(one, earlier)}")
        if not one["sent_at"] and not one["given_up_at"]:
            earlier = earlier or one["event"]
    return "; ".join(said)


def _delivery(one: dict[str, Any], earlier: str) -> str:
    """What became of one; `earlier` is an event that has not arrived yet."""
    if one["sent_at"]:
        return f"sent {ago(one['sent_at'])}"
    if one["given_up_at"]:
        return f"given up after {many(one['tries'], 'attempt')}: {one['error']}"
    return one["error"] or (f"waits for {earlier}" if earlier else "is being sent")


@command(
    "test", "simcelery notify test https://ntfy.sh/my-topic", "simcelery notify test mailto:me@example.org"
)
@click.argument("address", metavar="URL|mailto:…")
@output_option
def test(address: str, output: Output) -> int:
    """Send a notification from here, now, and say whether it arrived. Needs no board.

    Workers send the real ones: whether they can reach the address depends on their network and settings.
    Exit code 1 if it was refused, 3 if the address cannot be reached from here.
    """
    import uuid

    from simcelery.notifying.addresses import checked, masked
    from simcelery.notifying.sending import NoWayOutError, RefusedError, send

    address = checked(address)
    body = {"id": str(uuid.uuid4()), "event": "test", "text": "simcelery notify test: this works"}
    code, said = 0, "sent"
    try:
        send(address, body)
    except RefusedError as error:
        code, said = 1, f"refused: {error}"
    except NoWayOutError as error:
        code, said = 3, f"unreachable: {error}"
    if output == "json":
        show_json({"address": masked(address), "id": body["id"], "sent": not code, "found": said})
    elif output == "table":
        say(f"{masked(address)}: {said}")
    return code


@command("remove", "simcelery notify remove 3", "simcelery notify remove $(simcelery notify list -o quiet)")
@click.argument("ids", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1), metavar="ID...")
@output_option
def remove(ids: tuple[int, ...], output: Output) -> None:
    """Remove subscriptions by their ids, as 'simcelery notify' shows them; what is not sent yet never is."""
    from simcelery.board import engine, subscriptions

    with engine.begin() as connection:
        gone = subscriptions.remove(connection, ids)
    if missing := sorted(set(ids).difference(gone)):
        raise UsageError(f"there is no subscription {missing[0]}" + (f"; {gone} removed" if gone else ""))
    if output == "json":
        show_json({"removed": gone})
    elif output == "quiet":
        show_ids(gone)
    else:
        say(f"{many(len(gone), 'subscription')} removed")


for _verb in (list_, test, remove):
    notify.add_command(_verb)
