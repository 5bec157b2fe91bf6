"""A file that says that the worker lives, to whoever looks after it and should start no program for that."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def touch(file: Path | None) -> None:
    """Set the time of the file to now; there may be none."""
    if file is None:
        return
    try:
        file.touch()
    except OSError as error:
        log.warning("cannot touch %s: %s", file, error.strerror)
