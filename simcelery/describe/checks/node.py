"""What a worker on this node would need: folders with room, an empty spool, time to end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simcelery.describe.checks.check import Check, Verdict
from simcelery.describe.words import duration, many, size

if TYPE_CHECKING:
    from simcelery.settings import Settings

_SUPERVISORS = 90.0  # seconds that systemd, unless told otherwise, waits before it kills


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
    """Whether a worker ends before its supervisor kills it."""
    needed = settings.shutdown_grace + settings.kill_grace
    if needed > _SUPERVISORS:
        found = f"a worker may need {duration(needed)} to end (shutdown_grace + kill_grace)"
        advice = (
            f"systemd kills after {_SUPERVISORS:g} s, docker after 10 s: give the worker longer "
            "(TimeoutStopSec, stop_grace_period)"
        )
        yield Check("shutdown", "warn", found, advice)
