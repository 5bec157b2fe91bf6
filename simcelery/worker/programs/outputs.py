"""What a program has written in a run: what was there before and is untouched is none of its output."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK = 2 * 10**9  # nanoseconds: of the coarsest clock of a file system


class Seen(NamedTuple):
    """A file as it is: `size` in bytes, `changed` in nanoseconds since 1970."""

    device: int
    inode: int
    size: int
    changed: int


class Outputs:
    """The files that a program has to write in the run that is about to begin.

    They are neither moved nor deleted before, since programs go on from them.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._before = {name: aged(folder / name) for name in names}

    def faults(self) -> list[str]:
        """What is wrong with them after the run, in words; an output is a file with something in it."""
        missing = [name for name in self._before if not (self._folder / name).exists()]
        found = [f"it did not write {', '.join(missing)}"] if missing else []
        for name in self._before:
            if name not in missing:
                found += self._fault(name)
        return found

    @property
    def files(self) -> list[Path]:
        return [self._folder / name for name in self._before]

    def sizes(self) -> dict[str, int]:
        """Of each, by its name, in bytes; after a run that wrote them."""
        return {name: (self._folder / name).stat().st_size for name in self._before}

    def _fault(self, name: str) -> list[str]:
        path = self._folder / name
        if not path.is_file():
            return [f"{name} is {'a folder' if path.is_dir() else 'no file'}"]
        if _seen(path) == self._before[name]:
            return [f"{name} was there before, and this run did not write it"]
        return [] if path.stat().st_size else [f"{name} is empty"]


def _seen(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def aged(path: Path) -> Seen | None:
    """How it is before the run, made a little older: whoever rewrites it at once changes it, too."""
    seen, earlier = _seen(path), time.time_ns() - _TICK
    if seen is not None and path.is_file() and seen.changed > earlier:
        with suppress(OSError):  # a stranger's
            os.utime(path, ns=(path.stat().st_atime_ns, earlier))
    return _seen(path)
