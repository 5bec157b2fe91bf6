"""The files of a crate, and their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

MANIFEST = "manifest-sha256.txt"  # as `sha256sum` writes it
_LOGS_IN_A_FOLDER = 1000
_LONGEST_NAME = 150  # bytes


@dataclass(frozen=True)
class File:
    """A file of the crate that is complete.

    Attributes:
        path: from the folder of the crate on, with slashes.
        size: in bytes.
    """

    path: str
    size: int
    sha256: str


def table_of(workflow: str) -> str:
    """The table with the jobs of a workflow."""
    name = quote(workflow, safe=" ")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(workflow.encode()).hexdigest()[:10]}"
    return f"jobs/{name}.parquet"


def log_of(job: int, attempt: int) -> str:
    """What an attempt printed."""
    first = job - job % _LOGS_IN_A_FOLDER
    return f"logs/{first}-{first + _LOGS_IN_A_FOLDER - 1}/{job}.{attempt}.txt"


def artifact_of(job: int, name: str) -> str:
    """A file that a job has left."""
    return f"artifacts/{job}/{name}"


def written(folder: Path, path: str, text: str) -> File:
    """Write a file of text."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode(errors="replace")
    target.write_bytes(data)
    return File(path, len(data), hashlib.sha256(data).hexdigest())


def looked_at(folder: Path, path: str) -> File:
    """A file that somebody else has written."""
    target = folder / path
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return File(path, target.stat().st_size, digest.hexdigest())


def all_of(folder: Path) -> Iterator[File]:
    """All files that are there, but for the manifest itself."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name).relative_to(folder).as_posix()
            if path != MANIFEST:
                yield looked_at(folder, path)
