"""The files that jobs have left: what there is, and how to get it, from wherever it is."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from simcelery.board import engine
from simcelery.board.reads.artifacts import Artifact, artifacts_of
from simcelery.errors import UsageError
from simcelery.execution import durable
from simcelery.readable import short
from simcelery.storing import store
from simcelery.storing.names import checked
from simcelery.storing.store import StoreError
from simcelery.submission import files
from simcelery.submission.presence import Handle, check_there


def of(job_id: int, handles: Sequence[Handle] = ()) -> list[Artifact]:
    """The files that a job has left, by name.

    Raises:
        JobNotFoundError: one of `handles` is not on the board under its id.
    """
    with engine.begin() as connection:
        check_there(connection, handles)
        return artifacts_of(connection, [job_id]).get(job_id, [])


def named(job_id: int, name: str, handles: Sequence[Handle] = ()) -> Artifact:
    """One of them.

    Raises:
        UsageError: there is none of this name.
        JobNotFoundError: as for `of`.
    """
    found = of(job_id, handles)
    for one in found:
        if one.name == name:
            return one
    there = f"it has {', '.join(other.name for other in found[:20])}" if found else "it has none"
    raise UsageError(f"job {job_id} has no artifact {short(name)}: {there}")


def path_of(one: Artifact, folder: Path) -> Path:
    """Where it is on this machine; if it is not here, it is brought into the folder.

    Raises:
        UsageError, ServiceError: as `get`.
    """
    with suppress(OSError, StoreError):
        if _is_here(one):
            store.check(one.path, store.checksum(Path(one.path)), one.sha256)
            return Path(one.path)
    target = folder / _name(one)
    with suppress(OSError, StoreError):
        store.check(target, store.checksum(target), one.sha256)
        return target
    get(one, target)
    return target


def get(one: Artifact, target: Path) -> None:
    """Write it to a file, which is there whole, or not at all.

    It comes from the store, if it is in one, else from here, if it is, else through a worker on its host.

    Raises:
        UsageError: it has another checksum by now, is gone, or the target cannot be written.
        ServiceError: no worker that could read it answers.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.url is not None:
            store.get(one.url, target, one.sha256)
        else:
            _copy(one, target)
    except StoreError as error:
        raise UsageError(f"artifact {one.name} of job {one.job_id}: {error}") from None
    except OSError as error:
        raise UsageError(
            f"artifact {one.name} of job {one.job_id}: {target}: {error.strerror or error}"
        ) from None


def is_at(one: Artifact, target: Path) -> bool:
    """Whether it has been brought to this file already.

    Raises:
        UsageError: something else is there.
    """
    if not os.path.lexists(target):
        return False
    with suppress(OSError):
        if target.stat().st_size == one.size and store.checksum(target) == one.sha256:
            return True
    raise UsageError(
        f"{target} exists already, and is another file: give another folder (-O), or --force to replace it"
    )


def _copy(one: Artifact, target: Path) -> None:
    def is_whole() -> None:
        digest = store.checksum(partial)
        store.check(f"{one.host}:{one.path}", digest, one.sha256)

    with durable.complete(target, is_whole) as file:
        partial = Path(file.name)
        if _is_here(one):
            with Path(one.path).open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            files.whole(one.job_id, one.path, one.attempt, file)


def _is_here(one: Artifact) -> bool:
    return (one.host == socket.gethostname() or one.url is None) and store.exists(one.path, one.size)


def _name(one: Artifact) -> str:
    """What it is called, which is checked again: a board is not to lead out of a folder."""
    try:
        return checked(one.name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def target_of(one: Artifact, folder: Path) -> Path:
    """Where it goes in a folder of somebody who wants it."""
    return Path(os.path.abspath(folder)) / _name(one)
