"""What is remembered about the servers, and the lock that protects changes to it.

``servers.json`` keeps what must survive a stop (ports, passwords, the data folder), so that the URLs stay
the same. ``services.json`` exists while the servers run and holds their URLs; `Settings` reads it.
Only their owner can read them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simcelery.errors import ServiceError
from simcelery.services.ports import choose_port
from simcelery.services.process import POLL

LOCK_TIMEOUT = 180.0


@dataclass
class Login:
    """How to reach one server on the loopback."""

    port: int
    password: str

    @classmethod
    def new(cls) -> Login:
        """A free port and a random password that needs no quoting in a URL or a file."""
        return cls(choose_port(), secrets.token_urlsafe(24))


@dataclass
class Memory:
    """What survives a stop. `folder` is None for the usual place, so that a home can be moved."""

    folder: Path | None
    postgres: Login
    valkey: Login


def load_memory(home: Path) -> Memory | None:
    """What ``servers.json`` says, or None before the first start.

    Raises:
        ServiceError: the file is damaged.
    """
    path = home / "servers.json"
    try:
        values = json.loads(path.read_text())
        folder = Path(values["folder"]) if values["folder"] else None
        return Memory(folder, Login(**values["postgres"]), Login(**values["valkey"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            f"{path} cannot be read ({error}): if it is damaged, delete it; the data is kept"
        ) from None


def save_memory(home: Path, memory: Memory) -> None:
    """Write ``servers.json``."""
    values = asdict(memory) | {"folder": str(memory.folder) if memory.folder else None}
    write_json(home / "servers.json", values)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a file of mode 0600 atomically: a reader sees either the complete old or the complete new one."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            owner = path.parent.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            json.dump(values, file, indent=2)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def this_machine() -> dict[str, str]:
    """What identifies this machine, since its last boot, among others that see the same home."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return {"host": platform.node().split(".")[0], "boot": boot}


def refuse_other_machine(services_file: Path) -> None:
    """Refuse to continue if the servers were started on another machine and not stopped there.

    A home on a network file system is seen by many machines. Pids mean nothing on another machine, and a
    second Postgres on the same data would destroy it.

    Raises:
        ServiceError: they were; the message names the other machine.
    """
    try:
        values = json.loads(services_file.read_text())
        host, boot = values["host"], values["boot"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    here = this_machine()
    if host != here["host"] and not (boot and boot == here["boot"]):
        raise ServiceError(
            f"the servers of {services_file.parent} are running on {host}: run 'simcelery down' there "
            f"(if that machine is gone or was renamed, delete {services_file})"
        )


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Let only one process at a time change the servers of this home. The lock ends with its process.

    Raises:
        ServiceError: another process holds it for too long, or the file system has no locks.
    """
    path = home / "servers.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _try_lock(descriptor, home):
            if time.monotonic() > deadline:
                raise ServiceError(f"another 'simcelery up' or 'down' holds {path}: wait for it, or end it")
            time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, home: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        raise ServiceError(
            f"the file system of {home} has no file locks: set SIMCELERY_HOME to a folder on a local disk"
        ) from None
    return True
