"""Files that survive a crash of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def rename(source: Path, target: Path) -> None:
    """Give a complete file, whose content is on the disk already, its name, durably.

    Raises:
        OSError: the folder cannot be written.
    """
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
