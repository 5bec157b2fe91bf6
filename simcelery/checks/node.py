"""What a worker on this node needs: folders with free space, an empty spool, enough time to shut down."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simcelery.checks.check import Check, Verdict
from simcelery.describe.words import duration, many, size

if TYPE_CHECKING:
    from simcelery.settings import Settings

_SUPERVISORS = 90.0  # seconds that systemd by default waits before it kills a service


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
            # A folder that exists only on compute nodes may be missing where no worker runs.
            verdict: Verdict = "FAIL" if os.path.lexists(place) else "warn"
            yield Check(name, verdict, found, "no job can run here: fix this, or choose another folder")
        elif name == "job folders":
            yield Check(name, "ok", f"{place}, {size(places.free(place))} free")


def of_spool(settings: Settings) -> Iterator[Check]:
    """Whether there are outcomes that have not reached the board."""
    from simcelery.worker.outcomes.spool import waiting

    found = waiting(settings)
    if not found:
        yield Check("spool", "ok", "empty")
        return
    oldest = duration(time.time() - found[0].saved_at)
    where = f"{many(len(found), 'outcome')} in {settings.spool}, the oldest for {oldest}"
    yield Check("spool", "warn", where, "deliver these outcomes to the board: simcelery spool push")


def of_grace(settings: Settings) -> Iterator[Check]:
    """Whether a worker shuts down before its supervisor would kill it."""
    needed = settings.shutdown_grace + settings.kill_grace
    if needed > _SUPERVISORS:
        found = f"a worker may need {duration(needed)} to shut down (shutdown_grace + kill_grace)"
        advice = (
            f"by default systemd kills it after {_SUPERVISORS:g} s, docker after 10 s: allow more time "
            "(TimeoutStopSec, stop_grace_period)"
        )
        yield Check("shutdown", "warn", found, advice)
