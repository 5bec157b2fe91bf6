"""The embedded Valkey, which speaks the Redis protocol: its configuration, its start and stop."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from simcelery.errors import ServiceError
from simcelery.services.log import log_since, log_size, rotate_log
from simcelery.services.place import Place
from simcelery.services.ports import PortTakenError
from simcelery.services.process import POLL, alive, find, last_words, run_tool, stop, wait_until
from simcelery.services.programs import program_version, valkey_program, valkey_server
from simcelery.services.state import Login

READY_TIMEOUT = 60
STOP_TIMEOUT = 60
LAUNCH_TIMEOUT = 10

_CONFIG = """\
# Written by simcelery at every start.
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
pidfile {pid_file}
logfile {log}
daemonize yes
# The command line must keep this file's path, by which we recognise our process.
set-proc-title no
# Messages in the queues survive a crash, and are never evicted to free memory.
appendonly yes
save ""
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class Valkey:
    """The Valkey server of one place."""

    place: Place
    name: ClassVar[str] = "valkey"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.place.folder / "valkey"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data / "valkey.log"

    @property
    def config(self) -> Path:
        """The configuration file: it holds the password, and its path identifies the process."""
        return self.data / "valkey.conf"

    def url(self, login: Login) -> str:
        """The URL of the broker."""
        return f"redis://:{login.password}@127.0.0.1:{login.port}/0"

    def version(self) -> str:
        """The version of the installed binary."""
        return program_version(valkey_program())

    def find(self) -> psutil.Process | None:
        """The running server."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            pid = None
        return find(pid, "valkey-server", self._argument)

    def prepare(self, login: Login, *, reset: bool) -> None:
        """Create the folder; everything else is written at each start."""
        self.place.make("valkey")

    def start(self, login: Login) -> None:
        """Start the stopped server and wait until it answers.

        Raises:
            PortTakenError: the port is in use.
            ServiceError: it does not start; the message quotes its log.
        """
        said = self._launch(login)
        if said is not None and "append only file" in said:
            # The broker holds only wake-up calls: an empty one now is better than a repair by hand.
            damaged = self.data / "appendonlydir.damaged"
            shutil.rmtree(damaged, ignore_errors=True)
            (self.data / "appendonlydir").rename(damaged)
            said = self._launch(login)
        if said is None:
            return
        if "Address already in use" in said:
            raise PortTakenError(f"port {login.port} is in use")
        raise ServiceError(f"Valkey did not start: {last_words(said)} (log: {self.log})")

    def wait_ready(self, process: psutil.Process, login: Login) -> bool:
        """Wait until the running server, which may still be loading its data, answers. False if it exits."""
        if not wait_until(lambda: _answers(login) or not alive(process), READY_TIMEOUT):
            raise ServiceError(f"Valkey runs but does not answer on port {login.port} (log: {self.log})")
        return alive(process)

    def stop(self, process: psutil.Process) -> None:
        """Stop the server: it writes everything to disk and exits."""
        if not stop(process, signal.SIGTERM, STOP_TIMEOUT):
            raise ServiceError(f"Valkey (pid {process.pid}) does not stop (log: {self.log})")

    @property
    def _pid_file(self) -> Path:
        return self.data / "valkey.pid"

    @property
    def _argument(self) -> str:
        """The configuration's path for the command line, which Valkey takes as a pattern."""
        path = str(self.config)
        is_pattern = any(char in path for char in "*?[")
        return re.sub(r"[*?\[\]\\]", r"\\\g<0>", path) if is_pattern else path

    def _launch(self, login: Login) -> str | None:
        """Start the process; return None once it answers, or what it logged if it exits."""
        quoted = {
            name: _quote(path)
            for name, path in (("folder", self.data), ("pid_file", self._pid_file), ("log", self.log))
        }
        self.place.write(
            self.config, _CONFIG.format(port=login.port, password=_quote(login.password), **quoted)
        )
        self._pid_file.unlink(missing_ok=True)
        rotate_log(self.log)
        before = log_size(self.log)
        result = run_tool([valkey_server(self.place.account), self._argument], self.place.account)
        if result.returncode != 0:
            return result.stderr or result.stdout
        launched = time.monotonic()
        while not _answers(login):
            # It has detached itself; before it writes the pid file, only time can tell that it failed.
            gone = self.find() is None
            if gone and (self._pid_file.exists() or time.monotonic() > launched + LAUNCH_TIMEOUT):
                return log_since(self.log, before)
            if time.monotonic() > launched + READY_TIMEOUT:
                raise ServiceError(f"Valkey is taking long to load its data: try again (log: {self.log})")
            time.sleep(POLL)
        return None


def _answers(login: Login) -> bool:
    """Whether a server there accepts our password and has finished loading."""
    try:
        with socket.create_connection(("127.0.0.1", login.port), timeout=2) as connection:
            connection.sendall(f"AUTH {login.password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
    except OSError:
        return False


def _quote(value: str | Path) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
