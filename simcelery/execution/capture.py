"""Keep what a job prints: stdout and stderr of the process, of C libraries and of child processes.

In a pool child it goes to a file whose name the worker's parent process knows, which reads along.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from simcelery import chunks
from simcelery.execution.places import Unusable
from simcelery.execution.processes import childless

_APPEND = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_MOST_FILES = 1000  # of one process, and of dead ones that had its number

# Where a pool child makes its files; None: they have no name.
folder: Path | None = None


class Captured:
    """What the block has printed so far.

    Attributes:
        number: of this process's files, the one with the output; 0: it has no name.
        source: another file that holds the output instead.
    """

    def __init__(self, descriptor: int, number: int) -> None:
        self.number = number
        self.source: Path | None = None
        self._descriptor = descriptor

    def read(self, most: int, after: int = 0) -> chunks.Output:
        """The chunks after one of them, `most` bytes at most; at the end of the block."""
        _flush()
        try:
            if self.source is not None and self.source.exists():
                with opened(self.source) as descriptor:
                    return self._read(descriptor, most, after)
            return self._read(self._descriptor, most, after)
        except OSError:
            return chunks.Output({after + 1: "(what the job printed is lost: it closed the file)\n"})

    @staticmethod
    def _read(descriptor: int, most: int, after: int) -> chunks.Output:
        if os.fstat(descriptor).st_size <= after * chunks.SIZE:
            after = 0  # the job has emptied it: a shell does with > /dev/stdout
        return chunks.read(descriptor, most, after, ended=True)[0]


@contextmanager
def captured() -> Iterator[Captured]:
    """For the length of a block the file descriptors 1 and 2 lead to an empty file.

    Raises:
        Unusable: there is no place for such a file.
    """
    try:
        file = _empty_file()
    except OSError as error:
        raise Unusable.because("temporary files", error) from error
    global _current
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    _flush()
    try:
        for descriptor in (1, 2):
            os.dup2(file.descriptor, descriptor)
        _reopen_closed()
        _current = Captured(file.descriptor, file.number)
        yield _current
    finally:
        _current = None
        _flush()
        for descriptor, former in zip((1, 2), saved, strict=True):
            with suppress(OSError):  # user code may have closed what is not its own
                os.dup2(former, descriptor)
                os.close(former)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read an output from.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    # A job may have put anything in its place; a pipe would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        yield descriptor
    finally:
        os.close(descriptor)


_current: Captured | None = None  # of the block that this process is in


def read_instead(path: Path) -> bool:
    """What the block prints is in this file; False: nothing is captured."""
    if _current is None:
        return False
    _current.source = path
    return True


class _File(NamedTuple):
    """The file of a process, which is used for one job after the other."""

    pid: int
    descriptor: int
    inode: tuple[int, int]
    number: int


_kept: _File | None = None


def _empty_file() -> _File:
    """A file that nobody else writes to. Whoever writes adds to its end, also where it was emptied."""
    global _kept
    if _kept is not None and _kept.pid == os.getpid():
        with suppress(OSError):  # user code may have closed it
            found = os.fstat(_kept.descriptor)
            if (found.st_dev, found.st_ino) == _kept.inode:
                if childless():
                    if found.st_size:
                        os.ftruncate(_kept.descriptor, 0)
                    return _kept
                os.close(_kept.descriptor)  # what an earlier job left running may write to it
        remove()
    _kept = _named_file() or _nameless_file()
    return _kept


def is_ours(folder: Path, *, make: bool = False) -> bool:
    """Whether it is a folder that nobody else can write to. Its name can be guessed, and it is in ``/tmp``.

    Parameters:
        make: if it is missing.

    Raises:
        OSError: it is missing, or cannot be made.
    """
    if make:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def path_of(folder: Path, pid: int, number: int) -> Path:
    """The file of a pool child."""
    return folder / f"{pid}.{number}"


def _named_file() -> _File | None:
    if folder is None:
        return None
    for number in range(1, _MOST_FILES):
        try:
            if not is_ours(folder, make=True):
                return None
            descriptor = os.open(path_of(folder, os.getpid(), number), _APPEND, 0o600)
        except FileExistsError:
            continue
        except OSError:
            return None
        return _File(os.getpid(), descriptor, _inode(descriptor), number)
    return None


def _inode(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _nameless_file() -> _File:
    import fcntl

    with tempfile.TemporaryFile() as file:
        descriptor = os.dup(file.fileno())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return _File(os.getpid(), descriptor, _inode(descriptor), 0)


def remove() -> None:
    """This process's file needs no name any more."""
    if folder is not None and _kept is not None and _kept.pid == os.getpid() and _kept.number:
        with suppress(OSError):
            os.unlink(path_of(folder, _kept.pid, _kept.number))


def _reopen_closed() -> None:
    """An earlier job may have closed them."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            opened = open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # user code may have closed or replaced it  # nosec B112
            continue


def flush_along() -> None:
    """Let others see what Python holds in its buffers, from another thread, while a job runs."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is io.TextIOWrapper:  # what a job put in its place may not bear that
            with suppress(Exception):
                stream.flush()


def own() -> set[int]:
    """The descriptor that is kept from job to job."""
    return {_kept.descriptor} if _kept is not None and _kept.pid == os.getpid() else set()
