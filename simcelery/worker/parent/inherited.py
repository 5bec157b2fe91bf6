"""What loading the workflows has started that does not survive a fork.

Pool children are forked from the worker after the workflows are loaded, so that they start within
milliseconds and share the memory of what was imported. They do not inherit threads; they all share any
connection, event loop or file position; and MPI and CUDA do not work in them at all.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# OpenBLAS ends its threads before a fork, and begins anew after it.
_POOLS = re.compile(r"lib(gomp|omp|iomp5|tbb|mkl_rt)\b")
_DEVICES = re.compile(r"/dev/(nvidia|kfd)")


log = logging.getLogger(__name__)
_found: list[str] = []


@contextmanager
def noticed() -> Iterator[None]:
    """Within the block, workflows are loaded; what they start and leave open is remembered."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    others = _other_threads()
    try:
        yield
    finally:
        _found[:] = [
            *_threads(set(threading.enumerate()) - threads, _other_threads() - others),
            *_mpi(),
            *_open_files(_descriptors() - descriptors),
        ]


def warn() -> None:
    """Log a warning for everything found."""
    for what in _found:
        log.warning(
            "loading the workflows started %s: start it inside the workflow instead, or in the "
            "function given to --startup",
            what,
        )


def _threads(python: Collection[threading.Thread], others: int) -> Iterator[str]:
    """Python's threads by name, and those of libraries by number."""
    if python:
        names = ", ".join(sorted(thread.name for thread in python)[:5])
        yield f"{_number(len(python), 'thread')} that children will not have ({names})"
    pools = sorted({match[0] for match in map(_POOLS.search, _libraries()) if match})
    if others > 0 and (pools or not _of_openblas()):
        of = f" of {', '.join(pools)}" if pools else " of a library"
        yield f"{_number(others, 'thread')}{of} that children will not have"


def _other_threads() -> int:
    """How many threads are neither Python's nor OpenBLAS's."""
    return _count("/proc/self/task") - threading.active_count() - _of_openblas()


def _mpi() -> Iterator[str]:
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized():
        yield "MPI (mpi4py), which works only in one process"


def _open_files(opened: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Sockets, event loops, devices, and files open for writing: what processes must not share."""
    sockets = loops = 0
    for descriptor, target in opened:
        if target.startswith("socket:"):
            sockets += 1
        elif target == "anon_inode:[eventpoll]":
            loops += 1
        elif _DEVICES.match(target):
            yield f"a GPU context ({target})"
        elif _is_written(descriptor):
            yield f"a file that all children would write to ({target})"
    if loops:
        yield f"{_number(loops, 'event loop')} that all children would share"
    elif sockets:  # a loop has two of its own
        yield f"{_number(sockets, 'connection')} that all children would share"


def _is_written(descriptor: int) -> bool:
    """Whether it is a regular file opened for writing."""
    flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/self/fdinfo/{descriptor}").read_text())
    writes = flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return writes and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _descriptors() -> set[tuple[int, str]]:
    """The open descriptors, with what they lead to."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):  # the one that reads this list is closed by now
            found.add((int(descriptor), os.readlink(f"/proc/self/fd/{descriptor}")))
    return found


def _of_openblas() -> int:
    """How many threads OpenBLAS has, at most."""
    said = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or "1"
    number = re.match(r"\s*([0-9]{1,6})", said)  # OpenMP also takes "4,2", a number for each level
    each = int(number[1]) - 1 if number else 0
    return each * sum("openblas" in name for name in _libraries())


def _libraries() -> set[str]:
    """The file names of the shared libraries that are loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return set()
    return {line.rpartition("/")[2] for line in lines if ".so" in line}


def _count(folder: str) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
