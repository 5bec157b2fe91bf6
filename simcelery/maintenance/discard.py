"""Delete stored files that are nobody's: of jobs that were pruned, and of attempts that did not succeed.

The order is: the row belongs to no job, then the file goes, then the row. Whoever is killed in between leaves
a row that claims nothing, and the next one goes on.
"""

from __future__ import annotations

import logging

from simcelery.board import artifacts, engine
from simcelery.board.artifacts import Left
from simcelery.describe.words import many
from simcelery.errors import BoardUnreachableError
from simcelery.failpoints import failpoint
from simcelery.maintenance import aside
from simcelery.maintenance.aside import Aside
from simcelery.settings import get_settings
from simcelery.storing import store
from simcelery.storing.store import StoreError

log = logging.getLogger(__name__)

_TOGETHER = 20
_process = Aside(__name__)


def start() -> None:
    """Have a process of its own delete what is there to delete, unless one does it already."""
    if not _process.is_running:
        _process.start(get_settings())


def run() -> int:
    """Delete it here and now; return how many rows are gone. What a store refuses is tried again later.

    Raises:
        BoardUnreachableError: the rest is deleted later.
    """
    total = others = 0
    while taken := _take():
        ours = [one for one in taken if _is_ours(one)]
        others += len(taken) - len(ours)
        gone = [one.id for one in ours if _deleted(one)]
        failpoint("artifacts_deleted")
        with engine.begin() as connection:
            artifacts.forget(connection, gone)
        total += len(gone)
    if others:
        log.warning("%s not deleted: artifact_url names another store, or none", many(others, "file"))
    return total


def _take() -> list[Left]:
    with engine.begin() as connection:
        return artifacts.take(connection, _TOGETHER)


def _is_ours(one: Left) -> bool:
    """Whether it is in the store that the settings name, or in none: nothing else is touched."""
    ours = get_settings().artifact_url
    return one.url is None or (ours is not None and store.is_of(ours, one.url))


def _deleted(one: Left) -> bool:
    """Whether there is no such file any more in the store."""
    try:
        if one.url is not None:
            store.delete(one.url)
    except StoreError as error:
        log.warning("%s", error)
        return False
    return True


def main() -> None:
    """Run as a process of its own."""
    aside.prepare("artifacts")
    try:
        run()
    except BoardUnreachableError as error:
        log.warning("files are deleted later: %s", error)


if __name__ == "__main__":
    main()
