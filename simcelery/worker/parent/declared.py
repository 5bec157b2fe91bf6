"""What the settings declare for the board: a starting worker writes what is missing there.

What the board has already is left as it is, so that two workers with different settings do not take turns in
changing it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from simcelery.board import engine, limits, schedules, shares
from simcelery.describe.limits import differing
from simcelery.settings import Settings
from simcelery.submission.lineage import submitter
from simcelery.submission.schedules import of_settings
from simcelery.worker.parent.announced import Told
from simcelery.workflows import registry

log = logging.getLogger(__name__)


def write(settings: Settings) -> None:
    """Write what is missing, and say what the board has otherwise.

    Raises:
        UsageError: a limit, a share or a schedule of the settings is none.
        BoardUnreachableError: Postgres cannot be reached.
    """
    most = dict(limits.checked(name, most) for name, most in settings.limits.items())
    by = dict(shares.checked(queue, by) for queue, by in settings.share.items())
    due = of_settings(
        settings, {one.name: one.entry for one in registry.definitions() if isinstance(one, Told)}
    )
    if not (most or by or due):
        return
    with engine.begin() as connection:
        limited = limits.declare(connection, most, submitter())
        shared = shares.declare(connection, by, submitter())
        added, other = schedules.declare(connection, due)
    _tell(
        "limits",
        "limits apply",
        (f"{name} = {most[name]}" for name in most.keys() - limited),
        differing(most, limited),
    )
    _tell(
        "shared queues",
        "share --apply",
        (f"{queue} = {by[queue]}" for queue in by.keys() - shared),
        differing(by, shared),
    )
    _tell("schedules", "schedules apply", added, other)


def _tell(what: str, command: str, new: Iterable[str], other: Iterable[str]) -> None:
    """What was written, and what was left as it is."""
    if said := sorted(new):
        log.info("%s set on the board: %s", what, ", ".join(said))
    if found := list(other):
        log.warning(
            "%s of the settings that the board has otherwise: %s; to use those of the settings: simcelery %s",
            what,
            "; ".join(found),
            command,
        )
