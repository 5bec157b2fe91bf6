"""Read files inside a folder, and never one outside, whatever its name and whatever links lead to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_NAMES = 20  # of a folder's files, in a message


class NotThereError(Exception):
    """There is no such file in the folder; why, in one line."""


def end_of(folder: Path, name: str, most: int, start: int | None = None) -> tuple[bytes, int]:
    """The last bytes of a file in the folder, or those from `start` on, and its size.

    Parameters:
        name: its path, from the folder on or absolute.

    Raises:
        NotThereError: it is not there, is no file, or lies outside.
    """
    root = os.path.realpath(folder)
    try:
        # Links are followed here, and must lead to somewhere inside; not again when it is opened.
        inside = os.path.relpath(os.path.realpath(os.path.join(root, name)), root)
        if inside == os.pardir or inside.startswith(os.pardir + os.sep):
            raise NotThereError(f"{name} lies outside of the job's folder")
        return _end_of(root, inside.split(os.sep), most, start)
    except FileNotFoundError:
        raise NotThereError(f"there is no {name} in {root}; {_names(root)}") from None
    except ValueError as error:  # no path at all
        raise NotThereError(f"{name!r} is not a path: {error}") from None
    except OSError as error:
        raise NotThereError(f"{name} in {root} cannot be read: {error.strerror}") from None


def _end_of(root: str, parts: list[str], most: int, start: int | None) -> tuple[bytes, int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            last, descriptor = descriptor, os.open(part, flags, dir_fd=descriptor)
            os.close(last)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            what = "folder" if stat.S_ISDIR(found.st_mode) else "thing that is no file"
            more = f"; {_names(os.path.join(root, *parts))}" if what == "folder" else ""
            raise NotThereError(f"{os.path.join(*parts)} is a {what}{more}")
        first = max(0, found.st_size - most) if start is None else start
        return os.pread(descriptor, most, first), found.st_size
    finally:
        os.close(descriptor)


def _names(folder: str) -> str:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return "the folder cannot be read"
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return f"it holds {', '.join(names[:_NAMES])}{more}"
