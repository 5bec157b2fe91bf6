"""What ``doctor`` asks the board and the home folder about workers, leases, recovery and the spool."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simcelery.describe.words import duration, many, named, size

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from simcelery.settings import Settings

_LONG = 60.0  # seconds; all acts but prune are due every second or two
_SUPERVISORS = 90.0  # seconds that systemd, unless told otherwise, waits before it kills
Verdict = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, what to do. `exit_code` counts for a FAIL only."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    exit_code: int = 2


def of_workers(connection: Connection) -> Iterator[Check]:
    """Who lives, with what, and whether all that is pending has somebody to run it."""
    from simcelery.board import fleet
    from simcelery.describe.unserved import in_sentences

    live = fleet.workers(connection, live_only=True)
    slots = sum(worker["concurrency"] for worker in live)
    if live:
        yield Check("workers", "ok", f"{many(len(live), 'live worker')}, {many(slots, 'slot')}")
    else:
        advice = "start one in the folder of your workflows: celery -A simcelery worker"
        yield Check("workers", "warn", "no live worker", advice)
    yield from _notes(live)
    yield from _versions(live)
    yield from _sources(connection, live)
    lacking = in_sentences(fleet.unserved(connection))
    for found, advice in lacking:
        yield Check("queues", "warn", found, advice)
    if not lacking:
        yield Check("queues", "ok", "all that is pending has a live worker that knows it")
    yield from _leases(connection, live)
    yield from _recovery(connection, live)


def _notes(live: list[dict[str, Any]]) -> Iterator[Check]:
    for worker in live:
        name, note = worker["nodename"], worker["note"]
        if worker["quarantined_at"]:
            advice = f"find out what host {worker['host']} lacks, repair it, and restart the worker there"
            if (note or "").startswith("takes no jobs"):
                advice = f"see to it on host {worker['host']}; the worker goes on by itself"
            yield Check("quarantine", "warn", f"{name}: {note or 'in quarantine'}", advice)
        elif note:
            advice = "give all workers of a queue the same workflows, or the workflows queues of their own"
            yield Check("workers", "warn", f"{name}: {note}", advice if "does not know" in note else "")


def _versions(live: list[dict[str, Any]]) -> Iterator[Check]:
    from simcelery import __version__

    if others := sorted({worker["version"] for worker in live} - {__version__}):
        found = f"workers run simcelery {', '.join(others)}, this is {__version__}"
        yield Check("versions", "warn", found, "install the same version on all nodes")


def _sources(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Whether live workers have loaded the files that lie here, or that others submit with."""
    from simcelery.board import sources
    from simcelery.describe.outdated import in_sentences
    from simcelery.workflows import registry

    wanted = sources.submitted(connection)
    for one in registry.definitions():
        if one.source and (one.name not in wanted or wanted[one.name].source != one.source):
            wanted[one.name] = sources.Submitted(one.source)  # what the next submission from here brings
    differing = in_sentences(sources.differing(live, wanted))
    for found, advice in differing:
        yield Check("sources", "warn", found, advice)
    if live and wanted and not differing:
        yield Check("sources", "ok", "the workers run the same files as those who submit")


def _leases(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Jobs that run in workers that may be dead."""
    from simcelery.board import fleet

    lost = fleet.lost(connection)
    for worker in lost:
        ago = duration((worker["now"] - worker["lease_expires_at"]).total_seconds())
        found = f"{named(worker['running'], 6)} of {worker['nodename']}, whose lease ended {ago} ago"
        advice = f"they will be rescued; when: simcelery explain {worker['running'][0]}"
        if not live:
            advice = "no worker lives to rescue them: start one, or run 'simcelery recover'"
        yield Check("leases", "warn", found, advice)
    if not lost:
        yield Check("leases", "ok", "all running jobs are in live workers")


def _recovery(connection: Connection, live: list[dict[str, Any]]) -> Iterator[Check]:
    """Acts that nobody does although somebody should."""
    from simcelery.board import fleet

    if not any((worker["now"] - worker["started_at"]).total_seconds() > _LONG for worker in live):
        return  # they have just started, or none is there: that is said already
    waiting: dict[str, list[str]] = defaultdict(list)
    for turn in fleet.turns(connection):
        if turn["due"] > _LONG:
            waiting[duration(turn["due"])].append(turn["name"])
    for since, names in waiting.items():
        found = f"nobody has done {', '.join(names)} for {since}, although workers live"
        yield Check(
            "recovery", "warn", found, "the logs of the workers say why; meanwhile: simcelery recover"
        )
    if not waiting:
        yield Check("recovery", "ok", "its acts are done in turn")


def of_folders(settings: Settings) -> Iterator[Check]:
    """Whether a worker here could write what its jobs need."""
    from simcelery.execution import places
    from simcelery.worker import folders

    try:
        needed = folders.needed(settings)
    except places.Unusable as error:
        yield Check("temporary files", "FAIL", str(error))
        return
    for name, place in zip(("job folders", "spool", "temporary files"), needed, strict=True):
        if found := places.trouble([place]):
            # A folder of the nodes may well be missing where no worker runs.
            verdict: Verdict = "FAIL" if os.path.lexists(place) else "warn"
            yield Check(name, verdict, found, "no job could run here: see to it, or choose another folder")
        elif name == "job folders":
            yield Check(name, "ok", f"{place}, {size(places.free(place))} free")


def of_clock(connection: Connection) -> Iterator[Check]:
    """Whether Postgres' clock was set back."""
    from simcelery.board import clock

    ahead = clock.ahead(connection)
    if ahead:
        far = duration(max(ahead.values()).total_seconds())
        found = f"{', '.join(sorted(ahead))} lie up to {far} ahead of Postgres: its clock was set back"
        advice = "check Postgres' clock (NTP); recovery goes on, but the times of these jobs are wrong"
        yield Check("clock", "warn", found, advice)


def of_spool(settings: Settings) -> Iterator[Check]:
    """Outcomes that have not reached the board."""
    from simcelery.worker.outcomes.spool import waiting

    found = waiting(settings)
    if not found:
        yield Check("spool", "ok", "empty")
        return
    oldest = duration(time.time() - found[0].saved_at)
    where = f"{many(len(found), 'outcome')} in {settings.spool}, the oldest for {oldest}"
    yield Check("spool", "warn", where, "deliver what has not reached the board: simcelery spool push")


def of_grace(settings: Settings) -> Iterator[Check]:
    """Whether a worker ends before its supervisor loses patience."""
    needed = settings.shutdown_grace + settings.kill_grace
    if needed > _SUPERVISORS:
        found = f"a worker may need {duration(needed)} to end (shutdown_grace + kill_grace)"
        advice = (
            f"systemd kills after {_SUPERVISORS:g} s, docker after 10 s: give the worker longer "
            "(TimeoutStopSec, stop_grace_period)"
        )
        yield Check("shutdown", "warn", found, advice)
