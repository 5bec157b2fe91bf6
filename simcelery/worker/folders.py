"""The folders on this node that jobs need: that of each attempt, and those that must have free space."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path

from simcelery.execution import archiving, places
from simcelery.execution.places import Unusable
from simcelery.execution.workdir import Folder, path_of
from simcelery.settings import Settings, get_settings

BOARD = "SIMCELERY_BOARD"  # set by the lease before the pool forks its children
_LOOK_EVERY = 1.0  # seconds between two looks of a pool child

_looked_at = float("-inf")


def of_attempt(job_id: int, attempt: int, claim_id: uuid.UUID) -> Folder:
    """The folder of an attempt that this worker runs, which may not exist yet."""
    settings = get_settings()
    path = path_of(settings.workdirs, os.environ.get(BOARD, "board"), job_id, attempt, claim_id)
    return Folder(path, settings.mode_of_workdirs)


def left_by(job_id: int, attempt: int, claim_id: uuid.UUID) -> str | None:
    """The folder of an attempt whose process is gone, if it holds anything."""
    return of_attempt(job_id, attempt, claim_id).remains()


def unpacked(job_id: int, folder: str | Path) -> None:
    """Put back an attempt's folder, if it has been compressed, for as long as somebody needs it.

    Raises:
        OSError: there is no room for it.
    """
    if archiving.unpack(folder):
        from simcelery.board import engine, workdirs  # not before: clients import this module, too

        with engine.begin() as connection:
            workdirs.reopen(connection, job_id)


def needed(settings: Settings) -> list[Path]:
    """The folders for attempts, for outcomes that cannot reach the board, and for what jobs print.

    Raises:
        Unusable: there is no folder for temporary files.
    """
    try:
        return [settings.workdirs, settings.spool, Path(tempfile.gettempdir())]
    except OSError as error:
        raise Unusable(str(error)) from None


def check() -> None:
    """Check the folders; called in a pool child before each attempt, but effective only once a second.

    Raises:
        Unusable: no files can be written in a folder.
    """
    global _looked_at
    now = time.monotonic()
    if now - _looked_at < _LOOK_EVERY:
        return
    if found := places.full(needed(get_settings())):
        raise Unusable(found)
    _looked_at = now


def trouble(settings: Settings, *, make: bool = False) -> str | None:
    """One line about what prevents a worker on this node from running jobs, or None."""
    try:
        return places.trouble(needed(settings), mode=settings.mode_of_workdirs if make else None)
    except Unusable as error:
        return str(error)
