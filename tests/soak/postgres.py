"""What happens to Postgres in a soak, beside being killed: a clock that runs ahead, an old backup."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from simcelery import services
from simcelery.settings import Settings

_LONGEST_START = 60.0


def clock_library() -> str | None:
    """libfaketime, where it is installed (Debian: faketime): it has a process see another time."""
    return next(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


@dataclass(frozen=True)
class _Server:
    """A running server, to be started again as it is."""

    command: list[str]
    uid: int
    gid: int

    @classmethod
    def kill(cls, settings: Settings) -> _Server | None:
        """kill -9; None: it does not run."""
        [pid] = [one.pid for one in services.status(settings) if one.name == "postgres"]
        if pid is None:
            return None
        process = psutil.Process(pid)
        server = cls(process.cmdline(), process.uids().real, process.gids().real)
        process.send_signal(signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            process.wait(30)
        return server

    @property
    def data(self) -> Path:
        return Path(self.command[self.command.index("-D") + 1])


def run_ahead(settings: Settings, seconds: float) -> subprocess.Popen[bytes] | None:
    """Postgres starts anew, and its clock is so many seconds ahead. None: it does not run now."""
    library = clock_library()
    server = library and _Server.kill(settings)
    if not server:
        return None
    clock = {"LD_PRELOAD": str(library), "FAKETIME": f"+{seconds:.0f}s", "DONT_FAKE_MONOTONIC": "1"}
    deadline = time.monotonic() + _LONGEST_START
    while True:
        process = subprocess.Popen(
            server.command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", **clock},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            umask=0o077,
            **({"user": server.uid, "group": server.gid, "extra_groups": []} if os.geteuid() == 0 else {}),
        )
        # After a kill the children of the old server need a moment to notice and end.
        with suppress(subprocess.TimeoutExpired):
            process.wait(3.0)
        if process.poll() is None:
            return process
        if time.monotonic() > deadline:
            raise RuntimeError("Postgres does not start with another clock")


def back_up(settings: Settings, folder: Path) -> None:
    """Copy the data as a crash leaves them, and start the server again."""
    server = _killed(settings)
    _copy(server.data, folder)
    services.up(settings)


def restore(settings: Settings, folder: Path) -> None:
    """Put a copy in the place of the data: what was written since then never happened."""
    server = _killed(settings)
    shutil.rmtree(server.data)
    _copy(folder, server.data)
    services.up(settings)


def _killed(settings: Settings) -> _Server:
    server = _Server.kill(settings)
    assert server is not None, "Postgres does not run"
    time.sleep(3.0)  # its children notice, and end
    return server


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    (target / "postmaster.pid").unlink(missing_ok=True)
