"""The servers' log files: read what was added since a given time, and keep them small."""

from __future__ import annotations

from pathlib import Path

_LIMIT = 10 * 2**20


def log_size(path: Path) -> int:
    """The current size of the log, in bytes."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def log_since(path: Path, offset: int) -> str:
    """What was added to the log after `offset`."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def rotate_log(path: Path) -> None:
    """Move a large log aside before a start. One old log is kept."""
    if log_size(path) > _LIMIT:
        path.replace(path.with_name(path.name + ".1"))
