"""Remove or compress the workdirs of jobs that have ended, as their ``keep`` says.

The board says what is to be done, so that nothing is forgotten, whoever dies. A worker that finds something
to do on its host starts a process for it: a million files take a while, and nothing in the worker waits.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simcelery.board import engine, workdirs
from simcelery.board.reads.identity import identity
from simcelery.board.workdirs import Due, EndedJob
from simcelery.errors import BoardUnreachableError
from simcelery.execution import archiving
from simcelery.execution.workdir import path_of
from simcelery.failpoints import failpoint
from simcelery.maintenance import aside
from simcelery.maintenance.aside import Aside
from simcelery.settings import Settings, get_settings

log = logging.getLogger(__name__)

_NEEDED, _NOT_HERE, _FAILED = 60.0, 600.0, 600.0  # seconds until the next look
_process = Aside(__name__)


def start(settings: Settings) -> None:
    """Have a process of its own do what is due on this host, unless one does it already."""
    if not _process.is_running:
        _process.start(settings, SIMCELERY_WORKDIR_ROOT=str(settings.workdirs))


def sweep(host: str | None = None) -> int:
    """Do what is due on this host, unless another process does; return for how many jobs it was done.

    Raises:
        BoardUnreachableError: the rest is done later.
    """
    host, total = host or socket.gethostname(), 0
    with engine.begin() as connection:
        board = identity(connection)
    with _alone() as alone:
        while alone and (due := _due(host)):
            total += sum(_deal_with(one, board) for one in due)
    return total


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process does the same here: two would only be in each other's way."""
    settings = get_settings()
    settings.workdirs.mkdir(mode=settings.mode_of_workdirs, parents=True, exist_ok=True)
    try:
        with (settings.workdirs / ".sweep").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
    except BlockingIOError:
        yield False


def _due(host: str) -> list[Due]:
    with engine.begin() as connection:
        return workdirs.due(connection, host, get_settings().workdirs)


def _deal_with(one: Due, board: str) -> bool:
    """Whether it is done now; else it is postponed."""
    try:
        later = _NEEDED if (wanted := _wanted(one)) is None else _NOT_HERE
        if wanted is not None and (here := _here(one, wanted, board)) is not None:
            return _do(one, here)
    except OSError as error:
        log.warning("the workdirs of job %s stay for now: %s", one.job_id, error)
        later = _FAILED
    with engine.begin() as connection:
        workdirs.postpone(connection, one, later)
    return False


def _do(one: Due, folders: list[Path]) -> bool:
    """Remove or compress these folders; False: the job needs them again."""
    wanted = _wanted(one)
    if wanted is not None and wanted.done == "compressed":
        for folder in folders:
            if folder.is_dir() and not folder.is_symlink():
                archiving.pack(folder)
    # Only now, and under a lock: a job that is retried may go on from them.
    with engine.begin() as connection:
        ended = workdirs.of(connection, one)
        if ended is None or ended.done is None:
            return False
        for folder in folders if ended.done != "kept" else ():
            archiving.set_aside(folder)
    for folder in folders:
        archiving.remove_aside(folder)
        with suppress(OSError):  # others are still in it
            folder.parent.rmdir()
    failpoint("workdirs_done")
    with engine.begin() as connection:
        workdirs.note(connection, one, ended.done)
    return True


def _wanted(one: Due) -> EndedJob | None:
    """The job, if something is to become of its workdirs now."""
    with engine.begin() as connection:
        ended = workdirs.of(connection, one)
    return ended if ended is not None and ended.done is not None else None


def _here(one: Due, ended: EndedJob, board: str) -> list[Path] | None:
    """Where its workdirs are if a worker with these settings made them; None: they are not here.

    The board is not to lead anybody to any other folder of this node.
    """
    root = get_settings().workdirs
    paths = [Path(path_of(root, board, one.job_id, left.attempt, left.claim_id)) for left in ended.attempts]
    if any(left.workdir not in (None, str(path)) for left, path in zip(ended.attempts, paths, strict=True)):
        return None
    # A host that shares no file system with this one has nothing here. Attempts of which nobody knows where
    # they were may be another home's.
    known = not one.elsewhere and any(left.workdir for left in ended.attempts)
    if not known and not any(map(archiving.is_there, paths)):
        return None
    return paths


def main() -> None:
    """Run as a process of its own."""
    aside.prepare("workdirs")
    os.nice(10)
    try:
        sweep()
    except BoardUnreachableError as error:
        log.warning("workdirs stay for now: %s", error)


if __name__ == "__main__":
    main()
