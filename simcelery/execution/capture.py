"""Keep what a job prints: stdout and stderr of the process, of C libraries and of child processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from simcelery.execution.places import Unusable
from simcelery.execution.processes import childless

# What is kept of an attempt's log: how it began, and how it ended.
HEAD, TAIL = 64 * 1024, 256 * 1024


@contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """For the length of a block the file descriptors 1 and 2 lead to a file that has no name.

    Yields:
        A function that gives the text so far, its middle left out where it is very long.

    Raises:
        Unusable: there is no place for such a file.
    """
    try:
        file = _empty_file()
    except OSError as error:
        raise Unusable.because("temporary files", error) from error
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    _flush()
    try:
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        _reopen_closed()
        yield lambda: _read(file)
    finally:
        _flush()
        for descriptor, former in zip((1, 2), saved, strict=True):
            with suppress(OSError):  # user code may have closed what is not its own
                os.dup2(former, descriptor)
                os.close(former)


# The file of this process: its pid, a descriptor, the number of its inode.
_kept: tuple[int, int, int] | None = None


def _empty_file() -> int:
    """A descriptor of a file that nobody else writes to."""
    global _kept
    if _kept is not None and _kept[0] == os.getpid():
        descriptor, inode = _kept[1:]
        with suppress(OSError):  # user code may have closed it
            found = os.fstat(descriptor)
            if found.st_ino == inode and found.st_nlink == 0:
                if childless():
                    if found.st_size:
                        os.ftruncate(descriptor, 0)
                        os.lseek(descriptor, 0, os.SEEK_SET)
                    return descriptor
                os.close(descriptor)  # what an earlier job left running may write to it
    with tempfile.TemporaryFile() as file:
        descriptor = os.dup(file.fileno())
    _kept = os.getpid(), descriptor, os.fstat(descriptor).st_ino
    return descriptor


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
        except Exception:  # user code may have closed or replaced it
            continue


def _read(descriptor: int) -> str:
    _flush()
    try:
        size = os.fstat(descriptor).st_size
        if size <= HEAD + TAIL:
            return _text(os.pread(descriptor, size, 0))
        left_out = f"\n… {size - HEAD - TAIL:,} bytes left out …\n"
        return (
            _text(os.pread(descriptor, HEAD, 0)) + left_out + _text(os.pread(descriptor, TAIL, size - TAIL))
        )
    except OSError:
        return "(what the job printed is lost: it closed the file)\n"


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace").replace("\0", "\\0")


def own() -> set[int]:
    """The descriptor that is kept from job to job."""
    return {_kept[1]} if _kept is not None and _kept[0] == os.getpid() else set()
