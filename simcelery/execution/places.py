"""The folders that a node needs for its jobs, and what is wrong with them; that is never a job's fault."""

from __future__ import annotations

import errno
import os
import re
import resource
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from simcelery.errors import causes
from simcelery.quantities import in_units

LEAST = 64 * 1024  # bytes; with less a file system is full
_MANY = 100_000  # files that are looked at, at most


class Unusable(Exception):
    """This node cannot run a job now: one of its folders does not take files. The job has not begun."""

    @classmethod
    def because(cls, place: str | Path, error: OSError) -> Unusable:
        """It, from what the operating system says."""
        return cls(f"{place}: {_reason(error)}")


def full(places: Iterable[str | Path]) -> str | None:
    """One line about the first of the folders whose file system has no room; what is missing is left out."""
    for place in places:
        try:
            room = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{place}: {_reason(error)}"
        if room.f_blocks > 0 and _free(room) < LEAST:
            return f"{place}: no space is left there ({room_at(place)})"
        if room.f_files > 0 and room.f_ffree == 0:
            return f"{place}: no room for more files is left there"
        if room.f_flag & os.ST_RDONLY:
            return f"{place}: the file system is read-only"
    return None


def trouble(places: Iterable[str | Path], *, mode: int | None = None) -> str | None:
    """One line about the first of the folders in which no file can be written, or None.

    Parameters:
        mode: make those that are missing, with these permissions. None: the nearest folder above must allow
            it.
    """
    for place in places:
        try:
            if mode is not None and not Path(place).is_dir():
                # Another worker that starts on this node may make it at the same moment.
                Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
                os.chmod(place, mode)  # whatever the umask takes
            found = _trouble(Path(place))
        except OSError as error:
            found = f"{place}: {_reason(error)}"
        if found:
            return found
    return None


def free(place: Path) -> int:
    """Bytes that can be written there.

    Raises:
        OSError: it cannot be looked at.
    """
    return _free(os.statvfs(_existing(place)))


_OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def ran_out(error: BaseException, text: str, folder: str | Path) -> str | None:
    """Where something failed since a file could not grow, how much room is there now; else None.

    Parameters:
        text: the error's message, which may quote what a program has printed.
        folder: where it wrote, if the error does not say.
    """
    for one in causes(error):
        if isinstance(one, OSError) and one.errno in _OUT_OF_ROOM:
            path = one.filename if isinstance(one.filename, str | bytes) else folder
            return _limit() if one.errno == errno.EFBIG else room_at(os.fsdecode(path))
    for line in text.splitlines():
        if any(os.strerror(number) in line for number in _OUT_OF_ROOM[:2]):
            return _named_in(line, folder)
    return None


def _named_in(line: str, folder: str | Path) -> str:
    """The same where only a program's own words tell, which may name a file or not."""
    for place in (*re.findall(r"['\"‘](/[^'\"’]+)['\"’]", line), folder):
        if full([_existing(Path(place))]):
            return room_at(place)
    return f"somewhere else, or by a quota: where its own folder is, {room_at(folder)}"


def room_at(place: str | Path) -> str:
    """``file system /scratch: 1.2 MiB of 10.0 GiB free``."""
    try:
        found = os.path.realpath(_existing(Path(place).absolute()))
        room = os.statvfs(found)
        while not os.path.ismount(found):
            found = os.path.dirname(found)
    except OSError as error:
        return f"{place}: {_reason(error)}"
    free, size = in_units(_free(room)), in_units(room.f_frsize * room.f_blocks)
    return f"file system {found}: {free} of {size} free"


def filled_by(folder: str | Path) -> str | None:
    """How much of its file system a folder takes, if that is most of what is used there; else None."""
    try:
        room = os.statvfs(folder)
        own = _taken(os.fspath(folder))
    except OSError:
        return None
    used = room.f_frsize * (room.f_blocks - room.f_bfree)
    return f"its own files take {in_units(own)} of that" if 2 * own > used else None


def _taken(folder: str) -> int:
    """Bytes that the files below a folder take on its file system; of very many files, of the first ones."""
    device, total, seen = os.lstat(folder).st_dev, 0, 0
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(OSError):
                found = os.lstat(os.path.join(path, name))
                total += 512 * found.st_blocks if found.st_dev == device else 0
        seen += len(files)
        if seen > _MANY:
            break
    return total


def _limit() -> str:
    """What keeps files from growing besides their file system."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY:
        return "its file system allows no larger file"
    return f"no file may be larger than {in_units(most)} here: ulimit -f"


def _trouble(place: Path) -> str | None:
    nearest = _existing(place)
    if not nearest.is_dir():
        return f"{place}: {nearest} is not a folder"
    if found := full([nearest]):
        return found
    if nearest != place:
        return None if os.access(nearest, os.W_OK | os.X_OK) else f"{place}: {nearest} cannot be written to"
    with tempfile.TemporaryFile(dir=place, buffering=0) as file:
        file.write(b"\0" * 4096)
        os.fsync(file.fileno())  # a quota, or a network's file system, may refuse only now
    return None


def _existing(place: Path) -> Path:
    return next((folder for folder in (place, *place.parents) if os.path.lexists(folder)), Path("/"))


def _free(room: os.statvfs_result) -> int:
    return room.f_frsize * (room.f_bfree if os.geteuid() == 0 else room.f_bavail)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
