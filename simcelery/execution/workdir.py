"""The folder of an attempt: at a path that no other attempt ever has, and removed if it stayed empty.

Creating and removing a folder takes half a millisecond on a disk, longer than many jobs. So a process
keeps the last folder that stayed empty, and renames it for its next attempt, which is fifteen times
cheaper.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simcelery.execution.places import Unusable

_spare: str | None = None  # an empty folder that nobody knows of


def path_of(root: Path, board: str, job_id: int, attempt: int, claim_id: uuid.UUID) -> str:
    """``root/BOARD/000/042/42017.1-0123456789ab`` for attempt 1 of job 42017: a thousand entries each.

    The end is the claim's: after a crash of Postgres, or a restore, an attempt's number may be given again.
    """
    millions, thousands = job_id // 1_000_000, job_id // 1000 % 1000
    return f"{root}/{board}/{millions:03}/{thousands:03}/{job_id}.{attempt}-{claim_id.hex[:12]}"


class Folder:
    """The folder of one attempt.

    Parameters:
        path: where it is, once it is made.
        mode: its permissions, and those of the folders above it that have to be made.
    """

    def __init__(self, path: str, mode: int = 0o700) -> None:
        self.path = path
        self._mode = mode
        self._made = self._asked_for = False

    def ask(self) -> Path:
        """The folder, for somebody who may write to it at any time: it stays, also where it is empty.

        Raises:
            OSError: it cannot be made.
        """
        self.make()
        self._asked_for = True
        return Path(self.path)

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            OSError: it cannot be made.
        """
        if not self._made:
            _make(self.path, self._mode)
            self._made = True

    @contextmanager
    def entered(self) -> Iterator[None]:
        """It is the current folder for the length of a block, and made first.

        Raises:
            Unusable: it cannot be made or entered.
        """
        try:
            self.make()
            os.chdir(self.path)
        except OSError as error:
            raise Unusable.because(self.path, error) from error
        former = os.environ.get("PWD")
        os.environ["PWD"] = self.path
        yield
        if former is not None:  # what else the attempt has changed, its end puts back
            os.environ["PWD"] = former

    def leave(self, *, alone: bool) -> str | None:
        """The attempt has ended: the folder is kept if it holds anything, and is otherwise another's to use.

        Parameters:
            alone: whether nothing that the attempt started is left, which might still write to it.

        Returns:
            Its path, if it is kept.
        """
        global _spare
        if not self._made:  # a process that the attempt forked may have made it
            return self.path if os.path.isdir(self.path) else None
        try:
            empty = not os.listdir(self.path)
        except FileNotFoundError:
            return None
        except OSError:
            return self.path
        if not empty or self._asked_for or not alone:
            return self.path
        _spare = self.path
        return None

    def remains(self) -> str | None:
        """Its path, if there is such a folder, and it holds anything; an empty one is removed."""
        with suppress(OSError):
            os.rmdir(self.path)
        return self.path if os.path.isdir(self.path) else None


@contextmanager
def put_back() -> Iterator[None]:
    """After the block the current folder is what it was before."""
    try:
        before = os.getcwd()
    except FileNotFoundError:
        before = "/"
    try:
        yield
    finally:
        try:
            os.chdir(before)
        except OSError:  # it was removed; an attempt's folder is not the next one's
            os.chdir("/")


def tidy() -> None:
    """Remove the folder that is kept for the next attempt: there may be none for long."""
    global _spare
    spare, _spare = _spare, None
    if spare is not None:
        with suppress(OSError):
            os.rmdir(spare)
            os.rmdir(os.path.dirname(spare))


def _make(path: str, mode: int) -> None:
    global _spare
    spare, _spare = _spare, None
    for _ in range(10):
        try:
            if spare is None:
                os.mkdir(path, mode)
                _set_mode(path, mode)
            else:
                os.rename(spare, path)
                _remove_parent(spare, path)
            return
        except FileNotFoundError:  # no parent yet, or it was empty, and removed by another process
            if spare is not None and not os.path.isdir(spare):
                spare = None
            _make_parents(os.path.dirname(path), mode)
        except OSError:
            if spare is None:
                raise
            spare = None
    raise FileNotFoundError(errno.ENOENT, "something keeps removing it", path)


def _remove_parent(former: str, path: str) -> None:
    parent = os.path.dirname(former)
    if parent != os.path.dirname(path):
        with suppress(OSError):  # it is not empty
            os.rmdir(parent)


def _make_parents(folder: str, mode: int) -> None:
    if os.path.isdir(folder):
        return
    if os.path.dirname(folder) != folder:
        _make_parents(os.path.dirname(folder), mode)
    try:
        os.mkdir(folder, mode)
        _set_mode(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None


def _set_mode(folder: str, mode: int) -> None:
    if mode != 0o700:  # which no umask that lets a process work takes anything from
        os.chmod(folder, mode)
