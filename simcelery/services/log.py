"""The servers' log files: what was said since a moment, and keeping them small."""

from __future__ import annotations

from pathlib import Path

_LIMIT = 10 * 2**20


def log_size(path: Path) -> int:
    """Where the log ends now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def log_since(path: Path, offset: int) -> str:
    """What was added after `offset`."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def rotate_log(path: Path) -> None:
    """Put a large log aside before a start. One old one is kept."""
    if log_size(path) > _LIMIT:
        path.replace(path.with_name(path.name + ".1"))
