"""What an attempt's program began with: a note in its folder, for the attempts that may go on from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from simcelery.worker.programs.outputs import aged

NOTE = ".simcelery-begun.json"
_SAME = 1e-3  # seconds; what is left of a time in an archive

Pairs = Sequence[tuple[str, str]]


def copying(folder: Path, files: Pairs, corrected: Iterable[str]) -> None:
    """These files are being copied into the folder, and these of them are as a handler corrected them."""
    note = _read(folder)
    note["copying"] = [new for _, new in files]
    note["copied"] = sorted({*note["copied"], *note["copying"]})
    _write(folder, note | {"corrected": sorted({*note["corrected"], *corrected})})


def begins(folder: Path, wanted: Pairs) -> None:
    """Everything is there, and the program begins: what it does not touch of these is not its own."""
    note = _read(folder) | {"copying": []}
    for old, _ in wanted:
        seen = aged(folder / old)
        if seen is not None:
            note["found"][old] = [seen.size, seen.changed / 1e9]
    _write(folder, note)


def correct(folder: Path, names: Iterable[str]) -> None:
    """A handler has corrected these files."""
    note = _read(folder)
    _write(folder, note | {"corrected": sorted({*note["corrected"], *names})})


def corrected(folder: Path) -> list[str]:
    """The files that a handler has corrected, in this attempt or in one that it continues."""
    return list(_read(folder)["corrected"])


def left(folder: Path, wanted: Pairs) -> list[tuple[str, str]]:
    """With which files to go on from that attempt: their names there, and in the next folder.

    Each is what its program wrote, or else what it began with: the next attempt continues one state, whole,
    however early this one ended. Of one that ended before its files were copied there is none.
    """
    note = _read(folder)
    if {new for _, new in wanted} & set(note["copying"]):
        return []
    found = []
    for old, new in wanted:
        if _is_there(folder / old) and not _untouched(folder / old, note["found"].get(old)):
            found.append((old, new))
        elif new in note["copied"] and _is_there(folder / new):
            found.append((new, new))
    return found


def _untouched(file: Path, before: Any) -> bool:
    if before is None:
        return False
    seen, (size, changed) = file.stat(), before
    return bool(seen.st_size == size and abs(seen.st_mtime - changed) < _SAME)


def _is_there(file: Path) -> bool:
    """An empty file is as good as none."""
    try:
        return file.is_file() and file.stat().st_size > 0
    except OSError:
        return False


def _read(folder: Path) -> dict[str, Any]:
    note: dict[str, Any] = {"copying": [], "copied": [], "corrected": [], "found": {}}
    with suppress(OSError, ValueError):
        note |= json.loads((folder / NOTE).read_text(encoding="utf-8"))
    return note


def _write(folder: Path, note: dict[str, Any]) -> None:
    new = folder / f"{NOTE}.new"
    new.write_text(json.dumps(note), encoding="utf-8")
    os.replace(new, folder / NOTE)
