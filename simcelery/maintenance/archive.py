"""Archive: write jobs to files before they are deleted from the board.

A job is deleted only after a file that holds it is complete on disk, under its final name. If the process
is killed in between, the job is both in the file and on the board, and the next run archives it once more.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.board import retention
from simcelery.board.batches import ROWS, batches
from simcelery.board.retention import Archived
from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.failpoints import failpoint
from simcelery.maintenance.effects import BY_HAND, Effects
from simcelery.maintenance.formats import Format, check, opened, suffix

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ROWS = ROWS
_ROWS_TO_READ = 100  # each may hold a log and a result of a megabyte
_ROWS_OF_A_FILE = 100_000


@dataclass(frozen=True)
class Pruned:
    """What one step did.

    Attributes:
        jobs: how many jobs were deleted.
        file: the archive that holds them, or None without an archive.
    """

    jobs: int
    file: Path | None = None


def archive_and_delete(
    older_than: float, folder: Path | None = None, kind: Format = "jsonl", effects: Effects = BY_HAND
) -> Iterator[Pruned]:
    """Delete all jobs that finished more than `older_than` seconds ago, oldest first, and old workers.

    A job is kept while a dependent needs it. Nothing happens until the iterator is read; each step that it
    yields is committed. How many there are: `retention.count_prunable`.

    Parameters:
        folder: where the jobs are archived first; created if needed. None: they are not archived.
        kind: ``jsonl``: gzipped, with a line of JSON for each job; ``parquet``: needs the package pyarrow.

    Raises:
        UsageError: the folder cannot be written to, or pyarrow is missing. Nothing was deleted that is not in
            an archive.
        BoardUnreachableError: the steps yielded before have been done.
    """
    if folder is None:
        yield from _plainly(older_than, effects)
    else:
        yield from _archived(older_than, _writable(folder, kind), kind, effects)
    for forget in retention.FORGETS:
        for _ in batches(partial(_some, forget, older_than, effects), rows=_ROWS):
            pass


def _plainly(older_than: float, effects: Effects) -> Iterator[Pruned]:
    yield from map(
        Pruned, batches(partial(_some, retention.delete_finished, older_than, effects), rows=_ROWS)
    )


def _some(
    delete: Callable[[Connection, float, int], int], older_than: float, effects: Effects, rows: int
) -> int:
    with effects.begin() as connection:
        return delete(connection, older_than, rows)


def _archived(older_than: float, folder: Path, kind: Format, effects: Effects) -> Iterator[Pruned]:
    ids = [0] * _ROWS_OF_A_FILE
    while len(ids) == _ROWS_OF_A_FILE:
        with effects.begin() as connection:
            ids = retention.prunable(connection, older_than, _ROWS_OF_A_FILE)
        if not ids:
            return
        path, jobs = _write(ids, folder, kind, effects)
        failpoint("after_archive")
        deleted = 0
        for start in range(0, len(jobs), _ROWS):
            with effects.begin() as connection:
                deleted += retention.delete_archived(connection, jobs[start : start + _ROWS], older_than)
        yield Pruned(deleted, path)
        if not deleted:  # others hold all of them; they would be archived again and again
            return


def _write(ids: list[int], folder: Path, kind: Format, effects: Effects) -> tuple[Path, list[Archived]]:
    """Write the jobs to a new file; return its path, and the jobs in it without their lines."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%f")
    path = folder / f"jobs-{stamp}-{os.getpid()}.{suffix(kind)}"
    jobs: list[Archived] = []
    try:
        with (
            durable.complete(path, lambda: failpoint("before_archive")) as file,
            opened(file, kind) as archive,
        ):
            for start in range(0, len(ids), _ROWS_TO_READ):
                with effects.begin() as connection:
                    found = retention.archived(connection, ids[start : start + _ROWS_TO_READ])
                archive.write([job.line for job in found])
                jobs += [replace(job, line="") for job in found]
    except OSError as error:
        raise UsageError(f"the archive {path} cannot be written: {error.strerror or error}") from error
    return path, jobs


def _writable(folder: Path, kind: Format) -> Path:
    check(kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the archive {folder} cannot be made: {error.strerror or error}") from error
    return folder
