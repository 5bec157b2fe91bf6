"""A worker loads its modules only once; it reports when their files have changed since."""

from __future__ import annotations

import logging

from simcelery.board import engine, sources
from simcelery.board.values import Registration
from simcelery.errors import ServiceError
from simcelery.settings import Settings
from simcelery.workflows import registry

log = logging.getLogger(__name__)

EVERY = 20.0  # seconds between two looks at the files


class Changes:
    """Compares what was loaded with the files on disk, and reports each change once, to log and board."""

    def __init__(self, settings: Settings, me: Registration) -> None:
        self._settings = settings
        self._me = me
        self._told: list[str] = []

    def look(self) -> None:
        """Check once. Files that have not changed since the last check are not read."""
        changed = changed_files()
        if changed == self._told:
            return
        try:
            with engine.begin(self._settings) as connection:
                sources.note_changed(connection, self._me, changed)
        except ServiceError:
            return  # at the next look
        if new := [file for file in changed if file not in self._told]:
            log.warning(
                "%s, or a file it imports, has changed since this worker started; the worker still uses the "
                "old version: restart it",
                ", ".join(new),
            )
        self._told = changed


def changed_files() -> list[str]:
    """The files of workflows whose source is no longer what this process has loaded."""
    return sorted(
        {
            sources.file_of(known.source)
            for known in registry.definitions()
            if known.source and known.source_now() != known.source
        }
    )
