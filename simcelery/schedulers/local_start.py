"""The process that starts a script on this host, stays by it, and notes how it ended.

Run with Python's ``-I`` and imported by `local`; it knows the standard library only, so that it stays small
while the script runs for days. What it writes, in the folder of accounts:

- ``NAME.begun``, by whoever comes first: this process, once, before it starts the script; or somebody who has
  seen that it will not come to that. So nothing of the same name is ever started twice.
- ``NAME.exit``: when the script and all others of its session have ended.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_PAUSE = 0.1  # seconds between two looks at processes that are not our children
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LINUX = sys.platform == "linux"


def place() -> str:
    """Where a pid means a process: this host, and there this namespace of pids."""
    namespace = Path("/proc/self/ns/pid")
    with suppress(OSError):
        return f"{socket.gethostname()}|{namespace.stat().st_ino}"
    return socket.gethostname()


def started(pid: int) -> str:
    """When the process started, so that its pid is told from a later one; empty if it has ended."""
    if not _LINUX:
        state, *when = _ps("-o", "stat=,lstart=", "-p", str(pid)) or ["Z"]
        return "" if state.startswith("Z") else " ".join(when)
    try:
        # The program's name, in parentheses, may contain anything: count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if fields[0] in "ZX" else f"{boot}|{fields[19]}"
    except (OSError, IndexError):
        return ""


def members(session: int) -> list[int]:
    """The processes of a session, without the caller."""
    pids = [name for name in os.listdir("/proc") if name.isdecimal()] if _LINUX else _ps("-A", "-o", "pid=")
    return [pid for pid in map(int, pids) if pid != os.getpid() and _is_member(pid, session)]


def _is_member(pid: int, session: int) -> bool:
    with suppress(OSError):
        return os.getsid(pid) == session and started(pid) != ""
    return False


def _ps(*arguments: str) -> list[str]:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout.split()


def write(path: Path, values: Mapping[str, Any]) -> bool:
    """Write a complete file that is there for good.

    Returns:
        Whether it was us: False if there is one already, which stays as it is.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def end_session(session: int, grace: float) -> None:
    """SIGTERM to all of its processes, and SIGKILL to those that are left after the grace."""
    _signal(session, signal.SIGTERM)
    until = time.monotonic() + grace
    while members(session):
        if time.monotonic() >= until:
            _signal(session, signal.SIGKILL)
        time.sleep(_PAUSE)


def _signal(session: int, number: signal.Signals) -> None:
    for pid in members(session):
        with suppress(OSError):
            os.kill(pid, number)


class _Watch:
    """A script that runs, and what is to end it."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._asked = asked
        self._ears, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        signal.set_wakeup_fd(self._mouth)
        for number in (*_STOPS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        walltime = asked["walltime"]
        self._until = None if walltime is None else time.monotonic() + walltime

    def run(self) -> dict[str, Any]:
        """Start it, wait for its end, and end what it leaves behind; how it ended."""
        try:
            child = self._start()
        except OSError as error:
            return {"code": 127, "told": f"cannot start {self._asked['script']}: {error.strerror}"}
        cause = self._wait(child)
        end_session(os.getsid(0), self._asked["grace"])
        # A script that ended by itself during the grace has still been ended.
        code = child.wait()
        return {"code": code if code >= 0 else 128 - code, "cause": cause}

    def _start(self) -> subprocess.Popen[bytes]:
        script = self._asked["script"]
        command = [script] if os.access(script, os.X_OK) else ["/bin/sh", script]
        with Path(self._asked["output"]).open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def _wait(self, child: subprocess.Popen[bytes]) -> str | None:
        """Until it has ended, or something says that it must; that is the cause."""
        while child.poll() is None:
            left = None if self._until is None else max(0.0, self._until - time.monotonic())
            ready, _, _ = select.select([self._ears], [], [], left)
            if not ready:
                return "walltime"
            if any(number in _STOPS for number in os.read(self._ears, 64)):
                return "cancelled"
        return None


def _begin(name: str, folder: Path, asked: Mapping[str, Any]) -> None:
    me = {"pid": os.getpid(), "started": started(os.getpid()), "session": os.getsid(0), "at": time.time()}
    watch = _Watch(asked)
    if not write(folder / f"{name}.begun", me):
        return
    _say_no_more()
    ended = watch.run()
    write(folder / f"{name}.exit", {**ended, "at": time.time()})


def _say_no_more() -> None:
    """Whoever started this process waits for the end of its output, and no longer."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def main(arguments: list[str]) -> None:
    """``FOLDER NAME``, or ``end SESSION GRACE``, in a session of its own, whose leader leaves at once."""
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what is blocked here would be so in the script, too
    if arguments[0] == "end":
        _say_no_more()
        end_session(int(arguments[1]), float(arguments[2]))
        return
    folder, name = Path(arguments[0]), arguments[1]
    _begin(name, folder, json.loads((folder / f"{name}.json").read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
