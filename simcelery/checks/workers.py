"""Check the workers, the jobs that none can start, the leases, and recovery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simcelery.checks.check import Check
from simcelery.describe.words import duration, many, named

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NAMED = 5  # notifications
_LONG = 60.0  # seconds; no act should be overdue by as much


def of_workers(connection: Connection) -> Iterator[Check]:
    """Check which workers are live, what they run, and whether they can run all pending jobs."""
    from simcelery.board import reads
    from simcelery.describe.needs import too_large
    from simcelery.describe.unserved import in_sentences
    from simcelery.describe.walltime import too_long

    live = reads.workers(connection, live_only=True)
    slots = sum(worker["concurrency"] for worker in live)
    if live:
        yield Check("workers", "ok", f"{many(len(live), 'live worker')}, {many(slots, 'slot')}")
    else:
        advice = "start one in the folder with your workflows: celery -A simcelery worker"
        yield Check("workers", "warn", "no live worker", advice)
    yield from _clusters(connection)
    yield from _notes(live)
    yield from _versions(live)
    yield from _sources(connection, live)
    lacking = in_sentences(reads.unserved(connection)) + too_large(connection, reads.Filter())
    lacking += too_long(connection) + _too_long_for_clusters(connection, live)
    for found, advice in lacking:
        yield Check("queues", "warn", found, advice)
    if not lacking:
        yield Check("queues", "ok", "no pending job lacks a live worker that can run it")
    yield from _leases(connection, live)
    yield from _recovery(connection, live)
    yield from _notifications(connection)


def _too_long_for_clusters(connection: Connection, live: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Jobs for which no worker lives, and no cluster starts one, since its allocations are too short."""
    from simcelery.board.reads.expected import pending_lanes
    from simcelery.board.reads.workers import why_unserved
    from simcelery.cluster.coming import coming
    from simcelery.describe.walltime import beyond
    from simcelery.settings import get_settings

    if not (comes := coming(get_settings())):
        return []
    lasting: dict[tuple[str, str], float] = {}
    for queue, name in pending_lanes(connection):
        able = [one.lasts for one in comes if one.could_run(queue, name, None, None)]
        if able and why_unserved(live, queue, name):
            lasting[queue, name] = max(able)
    return beyond(connection, lasting)


def _clusters(connection: Connection) -> Iterator[Check]:
    from simcelery.board.reads.clusters import left_out, troubled
    from simcelery.describe.clusters import leaves_out, troubles

    for found, advice in troubles(troubled(connection)) + leaves_out(left_out(connection)):
        yield Check("clusters", "warn", found, advice)


def _notes(live: list[dict[str, Any]]) -> Iterator[Check]:
    for worker in live:
        name, note = worker["nodename"], worker["note"]
        if worker["quarantined_at"]:
            advice = f"find and fix what is wrong on host {worker['host']}, then restart the worker there"
            if (note or "").startswith("takes no jobs"):
                advice = f"fix this on host {worker['host']}; the worker then continues by itself"
            yield Check("quarantine", "warn", f"{name}: {note or 'in quarantine'}", advice)
        elif note:
            advice = "give all workers of a queue the same workflows, or use separate queues"
            yield Check("workers", "warn", f"{name}: {note}", advice if "does not know" in note else "")


def _versions(live: list[dict[str, Any]]) -> Iterator[Check]:
    from simcelery import __version__

    if others := sorted({worker["version"] for worker in live} - {__version__}):
        found = f"workers run simcelery {', '.join(others)}, but this is {__version__}"
        yield Check("versions", "warn", found, "install the same version on all nodes")


def _sources(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Whether live workers have loaded the same files as are found here, or as others submitted with."""
    from simcelery.board import sources
    from simcelery.describe.outdated import in_sentences
    from simcelery.workflows import registry

    wanted = sources.submitted(connection)
    for one in registry.definitions():
        if one.source and (one.name not in wanted or wanted[one.name].source != one.source):
            wanted[one.name] = sources.Submitted(one.source)  # the next submission from here will use it
    differing = in_sentences(sources.differing(live, wanted))
    for found, advice in differing:
        yield Check("sources", "warn", found, advice)
    if live and wanted and not differing:
        yield Check("sources", "ok", "the workers run the same files that jobs are submitted with")


def _leases(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Whether running jobs are in workers whose lease has expired."""
    from simcelery.board import reads

    lost = reads.lost(connection)
    for worker in lost:
        ago = duration((worker["now"] - worker["lease_expires_at"]).total_seconds())
        found = f"{named(worker['running'], 6)} of {worker['nodename']}, whose lease expired {ago} ago"
        advice = f"to see when they will be rescued: simcelery explain {worker['running'][0]}"
        if not live:
            advice = "no live worker is left to rescue them: start one, or run 'simcelery recover'"
        yield Check("leases", "warn", found, advice)
    if not lost:
        yield Check("leases", "ok", "no running job is in a lost worker")


def _recovery(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Whether an act of recovery is overdue although live workers should do it."""
    from simcelery.board import reads
    from simcelery.maintenance import acts

    if not any((worker["now"] - worker["started_at"]).total_seconds() > _LONG for worker in live):
        return  # they have just started, or there are none, which another check reports
    waiting: dict[str, list[str]] = defaultdict(list)
    late = {turn["name"]: turn["due"] for turn in reads.due_acts(connection)}
    for act in acts.ACTS:
        if (since := late.get(act.name, 0.0)) > _LONG:
            waiting[duration(since)].append(act.name)
    for how_long, names in waiting.items():
        found = f"no worker has done {', '.join(names)} for {how_long}, although workers are live"
        yield Check(
            "recovery", "warn", found, "see the workers' logs for why; meanwhile run: simcelery recover"
        )
    if not waiting:
        yield Check("recovery", "ok", "all its acts are done on time")


def _notifications(connection: Connection) -> Iterator[Check]:
    """Whether notifications could not be delivered; those that were given up count for a day."""
    from simcelery.board.reads.undelivered import undelivered
    from simcelery.describe.undelivered import ADVICE, sentence

    for one in undelivered(connection, _NAMED):
        yield Check("notifications", "warn", sentence(one), ADVICE)
