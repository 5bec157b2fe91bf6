"""Remove what allocations have left in the home long after their end: scripts, output, and accounts of them.

The board says which have ended; of names that it does not know nothing is removed, since another board may
have a cluster of the same name. What failed keeps its output for as long as the board keeps all, which is
until `retention`.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from simcelery.board import allocations, engine
from simcelery.board.allocations import REMEMBERED, Over
from simcelery.board.clusters import ClusterRow
from simcelery.cluster.environment import folder_of
from simcelery.errors import SimceleryError
from simcelery.settings import Settings

log = logging.getLogger(__name__)

EVERY = 600.0  # seconds between two times
LISTED = 3600.0  # seconds for which what has ended is listed
_AT_ONCE = 200  # allocations of a cluster each time
# The account that something is to be started goes first: without it, nobody looks at the others.
_KINDS = ("json", "begun", "exit", "sh")
_OUTPUT = "out"
_QUIET = ("finished", "cancelled", "preempted", "walltime", "not_submitted")


class Clearing:
    """Clears up from time to time, for whoever looks after clusters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_at = time.monotonic()

    def tick(self, found: Iterable[ClusterRow]) -> None:
        """Clear up after these clusters, if it is time."""
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EVERY
        for row in found:
            try:
                clear(row.name, self._settings)
            except (OSError, SimceleryError) as error:
                log.warning("cluster %s: old files stay for now: %s", row.name, error)


def clear(cluster: str, settings: Settings) -> int:
    """Remove the files of allocations that ended long enough ago; return of how many, at most some hundred.

    Raises:
        OSError: the folder cannot be read, or a file not be removed.
        BoardUnreachableError: the rest is for another time.
    """
    folder = folder_of(settings, cluster)
    kept = settings.retention
    older_than = max(REMEMBERED if kept is None else kept, LISTED)
    names = _names(cluster, folder)
    with engine.begin(settings) as connection:
        over = allocations.over(connection, cluster, names, older_than)
    cleared = 0
    for one in over:
        if cleared == _AT_ONCE:
            break
        cleared += _remove(folder, one, keep_output=kept is None and one.cause not in _QUIET)
    return cleared


def _names(cluster: str, folder: Path) -> list[str]:
    """Of what there are files, as `rounds.new_name` makes names."""
    shape = re.compile(rf"(simcelery-{re.escape(cluster)}-[0-9a-f]{{8}})\.({'|'.join((*_KINDS, _OUTPUT))})")
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted({found[1] for file in files if (found := shape.fullmatch(file))})


def _remove(folder: Path, one: Over, keep_output: bool) -> bool:
    """Whether there was anything to remove."""
    found = False
    for kind in _KINDS if keep_output else (*_KINDS, _OUTPUT):
        path = folder / f"{one.name}.{kind}"
        found = found or path.exists()
        path.unlink(missing_ok=True)
    return found
