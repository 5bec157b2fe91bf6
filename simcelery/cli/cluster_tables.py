"""Clusters and their allocations on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import join
from typing import TYPE_CHECKING

from simcelery.cli.options import Output
from simcelery.cli.output import Column, remark, say, show_ids, show_json, show_table, write
from simcelery.describe import clusters as words
from simcelery.describe.words import ago, many
from simcelery.errors import UsageError

if TYPE_CHECKING:
    from simcelery.board.allocations import AllocationRow
    from simcelery.board.clusters import ClusterRow
    from simcelery.cluster.profile import Profile


def show(rows: Iterable[ClusterRow], output: Output) -> None:
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
        for said in _troubles(rows) + _left_out(rows):
            say(said)


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
        ago(row.started_at),
    )


def show_allocations(row: ClusterRow, output: Output) -> None:
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
    for said in _troubles([row]) + _left_out([row]):
        say(said)


def _allocation(one: AllocationRow) -> tuple[object, ...]:
    return (
        one.name,
        one.scheduler_id if one.scheduler_id != one.name else "",
        one.state,
        one.workers,
        " ".join(filter(None, one.hosts)),
        ago(one.starts_at),
        ago(one.ended_at or one.ends_at),
        words.why(one),
    )


def show_started(row: ClusterRow, output: Output) -> None:
    """What has come of it, and whether it was refused."""
    if output != "table":
        show([row], output)
        return
    what = (
        f"{many(row.live, 'allocation')}, {words.wanted(row)} wanted"
        if row.live
        else f"{words.wanted(row)} wanted"
    )
    say(
        f"cluster {row.name} on {row.launcher}: {what}; "
        f"'simcelery cluster list {row.name}' shows what becomes of them"
    )
    for said in (_troubles([row]) or _last_end(row)) + _left_out([row]):
        remark(said)


def show_plan(profile: Profile, output: Output) -> int | None:
    from simcelery.board.reads.clusters import LeftOut
    from simcelery.cluster import actions
    from simcelery.schedulers.asking import Refused, Unknown
    from simcelery.settings import get_settings

    refused, planned = None, None
    try:
        planned = actions.plan(get_settings(), profile)
    except (Refused, Unknown) as error:
        refused = str(error)
    told = planned.plan if planned else None
    if output == "json":
        at = told.starts_at.isoformat() if told and told.starts_at else None
        what = (planned.script, planned.options) if planned else ("", [])
        show_json({"script": what[0], "options": what[1], "refused": refused, "starts_at": at})
    elif planned is not None:
        write(planned.script)
        say(f"options: {join(planned.options) or 'none'}")
        for found in words.leaves_out([LeftOut(profile.name, list(planned.bad.bad), planned.bad.kept)]):
            say(words.sentence(found))
        say(
            f"{profile.launcher} says: {told.told}"
            if told
            else f"{profile.launcher} does not say when it would start"
        )
    if refused is not None and output != "json":
        raise UsageError(f"it would not be taken: {refused}")
    return 1 if refused else None


def _troubles(rows: Sequence[ClusterRow]) -> list[str]:
    """What is wrong with these, by Postgres's clock."""
    from simcelery.board import engine
    from simcelery.board.reads.clusters import troubled
    from simcelery.settings import get_settings

    names = {row.name for row in rows}
    with engine.begin(get_settings()) as connection:
        found = [row for row in troubled(connection) if row.name in names]
    return [words.sentence(one) for one in words.troubles(found)]


def _left_out(rows: Sequence[ClusterRow]) -> list[str]:
    """The nodes that these leave out."""
    from simcelery.board import engine
    from simcelery.board.reads.clusters import left_out
    from simcelery.settings import get_settings

    names = {row.name for row in rows}
    with engine.begin(get_settings()) as connection:
        found = [row for row in left_out(connection) if row.cluster in names]
    return [words.sentence(one) for one in words.leaves_out(found)]


def _last_end(row: ClusterRow) -> list[str]:
    """How the last allocation ended, if that was a failure."""
    from simcelery.cluster import actions
    from simcelery.settings import get_settings

    if not row.failed:
        return []
    found = actions.allocations_of(get_settings(), row.name)
    return [f"{one.name}: {words.why(one)}" for one in found if one.state == "ended"][-1:]
