"""The location of the servers' files, and the account that owns them.

For an ordinary user it is ``home/servers``, and for root too if the servers' account can get there;
otherwise (a home below /root, say) a folder in /var/lib/simcelery whose name is derived from the home's
path. The permissions of other folders are never changed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from simcelery.errors import ServiceError, SettingsError
from simcelery.services.account import Account, server_account
from simcelery.services.process import run_tool

_ROOT_STATE = Path("/var/lib/simcelery")


@dataclass(frozen=True)
class Place:
    """A folder for the servers' files and the account that owns them (None: the caller)."""

    folder: Path
    account: Account | None

    def make(self, name: str) -> Path:
        """Create the subfolder `name`, which only the account can enter."""
        return _private(self.folder / name, self.account)

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the account can read."""
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if self.account:
                os.fchown(file.fileno(), self.account.uid, self.account.gid)
            file.write(text)


def ensure_home(home: Path) -> None:
    """Create the home if it does not exist: closed to others, but root's lets the servers' account pass.

    Raises:
        SettingsError: it cannot be created or written to.
    """
    try:
        if not home.exists():
            home.mkdir(parents=True, mode=0o700, exist_ok=True)  # another process may make it meanwhile
            if os.geteuid() == 0:
                home.chmod(0o711)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(13, "you have no write permission")
    except OSError as error:
        raise SettingsError(
            f"home {home} cannot be used ({error.strerror}): set SIMCELERY_HOME to a folder you own"
        ) from None


def find_place(home: Path, recorded: Path | None) -> Place:
    """The place, whether it exists yet or not: the recorded folder, else the one that would be created."""
    folder = recorded or home / "servers"
    if recorded is None and not os.path.exists(folder) and os.path.exists(_derived_folder(home)):
        folder = _derived_folder(home)
    return Place(folder, server_account(folder, home))


def create_place(home: Path) -> Place:
    """Create the folder for the servers of a new home."""
    account = server_account(home / "servers", home)
    folder = _private(home / "servers", account)
    if account is None or can_enter(folder, account):
        return Place(folder, account)
    try:
        folder.rmdir()
    except OSError:
        raise ServiceError(
            f"user {account.name}, who runs the servers, cannot enter {folder}: "
            "check the permissions of the folders above it"
        ) from None
    root_folder("homes")
    return Place(_private(_derived_folder(home), account), account)


def root_folder(name: str) -> Path:
    """A folder of root's in /var/lib/simcelery that everybody may pass through."""
    folder = _ROOT_STATE / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (_ROOT_STATE, folder):
            path.chmod(path.stat().st_mode & 0o777 | 0o711)
    except OSError as error:
        raise ServiceError(
            f"{folder} cannot be created ({error.strerror}): set SIMCELERY_HOME to a folder that "
            "every user can reach, or run simcelery as an ordinary user"
        ) from None
    return folder


def can_enter(folder: Path, account: Account) -> bool:
    """Whether the account can enter the folder. It is tried, since mode bits do not tell everything."""
    return run_tool(["/bin/sh", "-c", 'cd "$1"', "sh", folder], account).returncode == 0


def can_execute(program: Path, account: Account) -> bool:
    """Whether the account can reach the program and execute it."""
    return run_tool(["/bin/sh", "-c", 'test -x "$1"', "sh", program], account).returncode == 0


def _derived_folder(home: Path) -> Path:
    return _ROOT_STATE / "homes" / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def _private(folder: Path, account: Account | None) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    return folder
