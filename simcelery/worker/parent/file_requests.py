"""Answer those who want to read a file of an attempt that runs here, or that left its folder on this node."""

from __future__ import annotations

from pathlib import Path

from simcelery.board import engine, files
from simcelery.board.files import Answer, Wanted
from simcelery.execution import inside
from simcelery.execution.inside import NotThereError
from simcelery.settings import Settings
from simcelery.worker import folders
from simcelery.worker.outcomes.failure import printable

_MOST = 2**20  # bytes, whatever the row says


def answer(wanted: Wanted, by: str, settings: Settings) -> None:
    """Write to the board what is found; nothing, if the folder is not one of this worker's, or not here.

    Another worker on this host may have it: one with another home, or another view of the file system.

    Parameters:
        by: this worker's name.

    Raises:
        ServiceError: the board is unreachable.
    """
    found = _find(wanted, settings)
    if found is not None:
        with engine.begin(settings) as connection:
            files.answer(connection, wanted.id, by, found)


def _find(wanted: Wanted, settings: Settings) -> Answer | None:
    own = folders.of_attempt(wanted.job_id, wanted.attempt, wanted.claim_id).path
    folder = Path(wanted.workdir or own)
    # The board is not to lead us to any other folder of this node.
    if not folder.is_dir() or not folder.resolve().is_relative_to(settings.workdirs.resolve()):
        return None
    try:
        start = wanted.start if wanted.start is None else max(0, wanted.start)
        content, size = inside.end_of(folder, wanted.path, max(0, min(wanted.most, _MOST)), start)
    except NotThereError as error:
        return Answer(error=printable(str(error)))
    return Answer(content, size)
