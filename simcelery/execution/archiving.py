"""An attempt's folder as one compressed file beside it, and back."""

from __future__ import annotations

import glob
import os
import shutil
import tarfile
from contextlib import suppress
from functools import partial
from pathlib import Path

from simcelery.execution import durable
from simcelery.failpoints import failpoint

SUFFIX = ".tar.gz"


def archive_of(folder: str | Path) -> Path:
    """The file that holds a folder."""
    return Path(f"{folder}{SUFFIX}")


def pack(folder: Path) -> None:
    """Write a folder into its file, which is there whole or not at all; what was there before is replaced.

    Raises:
        OSError: it cannot be read, or there is no room for the file.
    """
    target = archive_of(folder)
    for left in folder.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        left.unlink(missing_ok=True)  # of somebody who was killed
    with durable.complete(target, partial(failpoint, "workdir_packed")) as file:
        os.fchmod(file.fileno(), folder.stat().st_mode & 0o666)
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            archive.add(folder, folder.name)


def unpack(folder: str | Path) -> bool:
    """If a folder is gone, and there is a file that holds it, put it back; whether that was done.

    Raises:
        OSError: there is no room for it, or the file cannot be read.
    """
    folder, archive = Path(folder), archive_of(folder)
    if folder.is_dir() or not archive.is_file():
        return False
    aside = folder.with_name(f".{folder.name}.unpacking-{os.getpid()}")
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(aside, filter="tar")  # nosec B202
        with suppress(FileExistsError):  # somebody else was faster
            os.rename(aside / folder.name, folder)
    except (tarfile.TarError, EOFError) as error:
        raise OSError(f"{archive} cannot be read: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def is_there(folder: Path) -> bool:
    """Whether anything is left of a folder: itself, its file, or what is about to be removed."""
    return any(map(os.path.lexists, (folder, archive_of(folder), _aside(folder))))


def set_aside(folder: Path) -> None:
    """Take a folder away from whoever may look for it; `remove_aside` removes it.

    Raises:
        OSError: it may not be renamed.
    """
    remove_aside(folder)
    with suppress(FileNotFoundError):
        os.rename(folder, _aside(folder))
    failpoint("workdir_set_aside")


def remove_aside(folder: Path) -> None:
    """Remove what was set aside, if it is there.

    Raises:
        OSError: something in it cannot be removed; the next call removes the rest.
    """
    aside = _aside(folder)
    if aside.is_symlink() or aside.is_file():
        aside.unlink()
    elif aside.is_dir():
        shutil.rmtree(aside)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.removed")
