"""Who runs the servers: the caller, or, when the caller is root, an unprivileged account.

Postgres refuses to run as root, and Valkey has no need to.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from simcelery.errors import ServiceError

# An account made for us, the usual ones for Postgres, and the one that every system has. initdb needs an
# entry in the password database, so a bare number will not do.
_CANDIDATES = ("simcelery", "postgres", "_postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user of the system."""

    name: str
    uid: int
    gid: int


def server_account(*owned: Path) -> Account | None:
    """The account for the servers, or None for an ordinary caller, who runs them as himself.

    Root continues as the user who owns one of the folders `owned` (the first that exists and is not
    root's), so that data made by an ordinary user stays his.

    Raises:
        ServiceError: the system has no account but root.
    """
    if os.geteuid() != 0:
        return None
    for folder in owned:
        try:
            status = folder.stat()
        except OSError:
            continue
        if status.st_uid != 0:
            return Account(_name(status.st_uid), status.st_uid, status.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid > 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServiceError("Postgres does not run as root and there is no user 'nobody': add a user 'simcelery'")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
