"""The tokens of a relay, each a file in its home: the file's name is the token's, and it holds only its hash.

A token is its name and 32 random bytes, so that a hash without salt tells nothing of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from simcelery.errors import UsageError

FOLDER = "relay_tokens"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def make(home: Path, name: str) -> str:
    """A new token, which nobody can tell again.

    Raises:
        UsageError: the name is taken or unusable, or the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("a token's name must be of letters, digits, and . _ @ - after the first; at most 64")
    token = f"{name}.{secrets.token_urlsafe(32)}"
    try:
        (home / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        made = os.open(home / FOLDER / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(made, "wb") as file:
            file.write(_digest(token))
    except FileExistsError:
        raise UsageError(f"there is a token {name} already: give another name, or revoke it first") from None
    except OSError as error:
        raise UsageError(f"cannot write {home / FOLDER / name}: {error.strerror}") from None
    return token


def listed(home: Path) -> dict[str, dt.datetime]:
    """The names of all tokens, and since when there is each."""
    files = sorted((home / FOLDER).glob("*"))
    return {file.name: dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC) for file in files}


def revoke(home: Path, names: list[str]) -> None:
    """Let these tokens open nothing any more.

    Raises:
        UsageError: there is no token of one of the names; then none is revoked.
    """
    if unknown := set(names) - set(listed(home)):
        raise UsageError(f"there is no token {min(unknown)}: see 'simcelery relay list'")
    for name in names:
        (home / FOLDER / name).unlink(missing_ok=True)


def holder(home: Path, token: str) -> str | None:
    """The name of a token that holds; None: it does not.

    Raises:
        OSError: its file cannot be read, so nobody can say.
    """
    name = token.rpartition(".")[0]
    try:
        kept = (home / FOLDER / name).read_bytes() if _NAME.fullmatch(name) else b""
    except FileNotFoundError:
        return None
    return name if hmac.compare_digest(kept, _digest(token)) else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest().encode()
