"""What a file of a job may be called: the same everywhere, and nothing that leads elsewhere."""

from __future__ import annotations

from pathlib import PurePosixPath

from simcelery.readable import short

_LONGEST, _LONGEST_PART = 500, 200  # bytes


def checked(name: object) -> str:
    """The name, if a file may be called so.

    Raises:
        ValueError: it may not; one line says why.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(
            f"{short(name)} cannot be the name of an artifact: it must be printable text in one line"
        )
    parts = PurePosixPath(name).parts
    if name != "/".join(parts) or ".." in parts or name.startswith("/") or "\\" in name:
        raise ValueError(
            f"{short(name)} cannot be the name of an artifact: it must be a plain path, such as out/traj.nc"
        )
    if len(name.encode()) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise ValueError(
            f"{short(name)} cannot be the name of an artifact: it is too long (at most {_LONGEST} bytes, "
            f"and {_LONGEST_PART} between slashes)"
        )
    return name
