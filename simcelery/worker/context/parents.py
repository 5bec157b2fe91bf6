"""A job that the running one waited for, and the files that it has left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simcelery.board.values import ParentJob


@dataclass(frozen=True)
class Parent(ParentJob):
    """It, as it is now.

    Attributes:
        folder: where its files are brought, if they are not on this machine.
    """

    folder: Path

    def artifact(self, name: str) -> Path:
        """The path of a file that it has registered, in the workdir of this attempt if it was not here.

        Raises:
            UsageError: there is none of this name, it is gone, or it is not what was registered.
            ServiceError: it is stored nowhere, and no worker on its host answers.
        """
        from simcelery.submission import artifacts  # not before: clients import this package, too

        return artifacts.path_of(artifacts.named(self.id, name), self.folder)
