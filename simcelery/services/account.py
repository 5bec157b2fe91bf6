"""The account that runs the servers: the caller, or, if the caller is root, an unprivileged account.

Postgres refuses to run as root, and Valkey has no need to.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from simcelery.errors import ServiceError

# An account made for simcelery, the usual ones for Postgres, and one that every system has. initdb needs an
# entry in the password database, so a bare user id will not do.
_CANDIDATES = ("simcelery", "postgres", "_postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user account of the system."""

    name: str
    uid: int
    gid: int


def server_account(*owned: Path) -> Account | None:
    """The account for the servers, or None for an ordinary caller, who runs them as themselves.

    For root it is the owner of the first folder in `owned` that exists and is not root's, so that data
    created by an ordinary user continues to belong to them.

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
    raise ServiceError("Postgres does not run as root, and there is no user 'nobody': add a user 'simcelery'")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
