"""The folders on this node that jobs need: that of each attempt, and those that must have room for others."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

from simcelery.execution.places import Unusable
from simcelery.execution.workdir import Folder, path_of
from simcelery.settings import Settings, get_settings

BOARD = "SIMCELERY_BOARD"  # set by the lease before the pool forks its children


def of_attempt(job_id: int, attempt: int, claim_id: uuid.UUID) -> Folder:
    """The folder of an attempt that this worker runs, which need not be there yet."""
    settings = get_settings()
    path = path_of(settings.workdirs, os.environ.get(BOARD, "board"), job_id, attempt, claim_id)
    return Folder(path, settings.mode_of_workdirs)


def left_by(job_id: int, attempt: int, claim_id: uuid.UUID) -> str | None:
    """The folder of an attempt whose process is gone, if it holds anything."""
    return of_attempt(job_id, attempt, claim_id).remains()


def needed(settings: Settings) -> list[Path]:
    """For the attempts' own folders, for outcomes that cannot reach the board, and for what jobs print.

    Raises:
        Unusable: there is no folder for temporary files.
    """
    try:
        return [settings.workdirs, settings.spool, Path(tempfile.gettempdir())]
    except OSError as error:
        raise Unusable(str(error)) from None
