"""The files that an attempt registers: recorded, stored and only then its success."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcelery.errors import ParametersError
from simcelery.failpoints import failpoint
from simcelery.settings import get_settings
from simcelery.storing import store
from simcelery.storing.names import checked
from simcelery.storing.program import ToStore, put_all
from simcelery.worker.waiting import wait_within

if TYPE_CHECKING:
    from simcelery.board.artifacts import NewArtifact
    from simcelery.board.values import Claim

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its checksum was made."""

    path: Path
    size: int
    changed: int
    sha256: str


class Artifacts:
    """What one attempt registers.

    Parameters:
        folder: of the attempt, which names are relative to.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}

    def register(self, path: str | os.PathLike[str], name: str | None) -> Path:
        """Note a file, which has to be there; its content counts only when the workflow has returned.

        Raises:
            ParametersError: there is no such file, or it cannot be called so.
        """
        folder = self._folder()
        found = Path(os.path.abspath(folder / path))
        if name is None:
            name = str(found.relative_to(folder)) if found.is_relative_to(folder) else found.name
        try:
            name = checked(name)
            there = found.is_file()
        except (ValueError, OSError) as error:
            raise ParametersError(f"artifact: {error}") from None
        if not there:
            raise ParametersError(f"artifact: there is no file {name!r} in {found.parent}")
        self._files[name] = found
        return found

    def keep(self, claim: Claim) -> None:
        """Record the files on the board, and store them: afterwards the attempt may succeed.

        Raises:
            StoreError: one cannot be stored, or has changed meanwhile.
            OSError: one cannot be read.
            ServiceError: the board could not be reached until the worker had to stop.
        """
        if not self._files:
            return
        from simcelery.board import artifacts  # not before: clients import this package, too
        from simcelery.board.artifacts import NewArtifact

        settings, host = get_settings(), socket.gethostname()
        seen = {name: _seen(path) for name, path in self._files.items()}
        where = (
            os.path.basename(self._folder().parents[2]),
            f"{claim.job_id}.{claim.attempt}-{claim.claim_id.hex}",
        )
        url = settings.artifact_url
        new = [
            NewArtifact(
                name, str(one.path), host, one.size, one.sha256, url and store.url_of(url, *where, name)
            )
            for name, one in seen.items()
        ]
        failpoint("before_artifacts_saved")
        if not wait_within(claim.job_id, "with its artifacts", lambda: artifacts.save(claim, new)):
            log.warning(
                "job %s: its artifacts are not registered, since another attempt has the job by now",
                claim.job_id,
            )
            return
        failpoint("artifacts_saved")
        if url is not None:
            sys.stdout.flush()
            _store(new, settings.artifact_timeout)
        for name, one in seen.items():
            if _state(one.path) != (one.size, one.changed):
                raise store.ChangedError(f"the artifact {name!r} was changed while it was stored")
        failpoint("artifacts_stored")


def _store(new: list[NewArtifact], timeout: float) -> None:
    put_all([ToStore(one.path, one.url, one.size) for one in new if one.url], timeout)


def _seen(path: Path) -> _Seen:
    size, changed = _state(path)
    return _Seen(path, size, changed, store.checksum(path))


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
