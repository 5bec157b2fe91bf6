"""What the settings declare for the board, such as limits: a starting worker writes what is missing there.

What the board has already is left as it is, so that two workers with different settings do not take turns in
changing it.
"""

from __future__ import annotations

import logging

from simcelery.board import engine, limits
from simcelery.describe.limits import differing
from simcelery.settings import Settings
from simcelery.submission.lineage import submitter

log = logging.getLogger(__name__)


def write(settings: Settings) -> None:
    """Write what is missing, and say what the board has otherwise.

    Raises:
        UsageError: a limit of the settings is none.
        BoardUnreachableError: Postgres cannot be reached.
    """
    given = dict(limits.checked(name, most) for name, most in settings.limits.items())
    if not given:
        return
    with engine.begin(settings) as connection:
        before = limits.declare(connection, given, submitter())
    if new := sorted(set(given).difference(before)):
        log.info("limits set on the board: %s", ", ".join(f"{name} = {given[name]}" for name in new))
    if found := differing(given, before):
        log.warning(
            "limits of the settings that the board has otherwise: %s; to use those of the settings: "
            "simcelery limits apply",
            "; ".join(found),
        )
