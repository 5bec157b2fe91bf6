"""Files that survive a crash of the machine."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def rename(source: Path, target: Path) -> None:
    """Give a complete file, whose content is on the disk already, its name, durably.

    Raises:
        OSError: the folder cannot be written.
    """
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _partial(path: Path) -> Path:
    """What something is called until it is complete.

    Not by the process's id: in a container each run has the same one, and one that was killed leaves its own.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """A new folder that gets its name after the block, and leaves nothing behind if that raises.

    Raises:
        OSError: it cannot be written, or there is something of its name that is no empty folder.
    """
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        os.sync()  # once, rather than for each of many files
        rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def complete(path: Path, before_named: Callable[[], object]) -> Iterator[IO[bytes]]:
    """A file that gets its name after the block, and leaves nothing behind if that raises.

    Parameters:
        before_named: called when it is on the disk, and before it has its name.

    Raises:
        OSError: it cannot be written.
    """
    partial = _partial(path)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        before_named()
        rename(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
