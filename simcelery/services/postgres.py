"""The embedded Postgres: its data, its configuration, its start and stop."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from simcelery.errors import ServiceError
from simcelery.failpoints import failpoint
from simcelery.services.log import log_since, log_size, rotate_log
from simcelery.services.place import Place
from simcelery.services.ports import PortTakenError
from simcelery.services.process import alive, find, last_words, run_tool, stop, wait_until
from simcelery.services.programs import postgres_bin, postgres_program, program_version
from simcelery.services.state import Login

READY_TIMEOUT = 120
STOP_TIMEOUT = 120

_CONFIG = """\
# Written by simcelery at every start. Change other settings with ALTER SYSTEM, which wins over this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'

# Files in the data folder instead of /dev/shm: containers have little of that, and systemd empties a
# user's when he logs out, while the server goes on.
dynamic_shared_memory_type = mmap

# Few large tables whose rows change state several times: keep dead rows and statistics down.
autovacuum_naptime = 15s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.02
# Hot statements take less than a millisecond: compiling them would take longer.
jit = off
random_page_cost = 1.1
checkpoint_timeout = 15min
log_checkpoints = off
"""

_LOCALE = ("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

_DETACHED = 'exec 3>>"$3" && { "$1" -D "$2" </dev/null >&3 2>&1 3>&- & } && echo $!'


@dataclass(frozen=True)
class Postgres:
    """The Postgres server of one place."""

    place: Place
    name: ClassVar[str] = "postgres"

    @property
    def data(self) -> Path:
        """The data folder, by which its process is also recognised."""
        return self.place.folder / "postgres" / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.place.folder / "postgres" / "postgres.log"

    def url(self, login: Login) -> str:
        """The URL of the database."""
        return f"postgresql://simcelery:{login.password}@127.0.0.1:{login.port}/simcelery"

    def version(self) -> str:
        """The version of the installed binaries."""
        return program_version(postgres_program())

    def find(self) -> psutil.Process | None:
        """The running server."""
        return find(self._pid(), "postgres", self.data)

    def prepare(self, login: Login, *, reset: bool) -> None:
        """Create the data if there is none; if `reset`, set the new password in existing data."""
        self.place.make("postgres")
        if not self.data.exists():
            self._create(login)
        elif reset:
            self._single_user(self.data, f"ALTER ROLE simcelery PASSWORD '{login.password}';")

    def start(self, login: Login) -> None:
        """Start the stopped server and wait until it accepts connections.

        Raises:
            PortTakenError: the port is in use.
            ServiceError: it does not start; the message quotes its log.
        """
        self.place.write(self.data / "simcelery.conf", _CONFIG.format(port=login.port))
        self._forget_stranger()
        rotate_log(self.log)
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            before = log_size(self.log)
            if self._launch(login, deadline):
                return
            said = log_since(self.log, before)
            if "Address already in use" in said:
                raise PortTakenError(f"port {login.port} is in use")
            # After a kill, the children of the old server need a moment to notice and exit.
            if "is still in use" not in said or time.monotonic() > deadline:
                raise ServiceError(f"Postgres did not start: {last_words(said)} (log: {self.log})")
            time.sleep(0.2)

    def _launch(self, login: Login, deadline: float) -> bool:
        """Start the process; return whether it accepts connections, rather than having ended before.

        pg_ctl is not used: it puts the folder's path into a shell command, and the shell would interpret a
        ``$``, a quote or a backtick in it.
        """
        program = postgres_bin(self.place.account) / "postgres"
        result = run_tool(
            ("/bin/sh", "-c", _DETACHED, "sh", program, self.data, self.log), self.place.account
        )
        if result.returncode != 0:
            raise ServiceError(f"Postgres did not start: {last_words(result.stderr)}")
        pid = int(result.stdout)
        wait_until(
            lambda: (self._pid() == pid and self._ready(login)) or not _runs(pid), deadline - time.monotonic()
        )
        return self._pid() == pid and self._ready(login)

    def wait_ready(self, process: psutil.Process, login: Login) -> bool:
        """Wait until the running server accepts connections; it may still be starting. False if it exits."""
        if not wait_until(lambda: self._ready(login) or not alive(process), READY_TIMEOUT):
            raise ServiceError(f"Postgres runs but does not answer on port {login.port} (log: {self.log})")
        return alive(process)

    def stop(self, process: psutil.Process) -> None:
        """Stop the server: it closes its connections, writes everything to disk and exits."""
        if not stop(process, signal.SIGINT, STOP_TIMEOUT):
            raise ServiceError(f"Postgres (pid {process.pid}) does not stop (log: {self.log})")

    def _ready(self, login: Login) -> bool:
        lines = self._pid_file()
        if len(lines) < 8 or lines[7].strip() != "ready":
            return False
        try:
            socket.create_connection(("127.0.0.1", login.port), timeout=2).close()
        except OSError:
            return False
        return True

    def _create(self, login: Login) -> None:
        """Create the data under another name and rename it when complete, so that a kill leaves no half."""
        unfinished = self.data.with_name("data.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self.data.with_name("password")
        self.place.write(password, login.password)
        try:
            # Synced to disk, unlike a test server's data: this will hold somebody's jobs.
            initdb = postgres_bin(self.place.account) / "initdb"
            users = ("-U", "simcelery", "-A", "scram-sha-256", f"--pwfile={password}")
            result = run_tool((initdb, "-D", unfinished, *users, *_LOCALE), self.place.account)
        finally:
            password.unlink(missing_ok=True)
        if result.returncode != 0:
            raise ServiceError(f"initdb failed in {self.data.parent}: {last_words(result.stderr)}")
        failpoint("services_after_initdb")
        self._single_user(unfinished, "CREATE DATABASE simcelery;")
        with (unfinished / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'simcelery.conf'\n")
        unfinished.rename(self.data)

    def _single_user(self, data: Path, statement: str) -> None:
        """Run a statement while the server is stopped, which needs no password and no port."""
        postgres = postgres_bin(self.place.account) / "postgres"
        result = run_tool(
            (postgres, "--single", "-D", data, "postgres"), self.place.account, text=statement + "\n"
        )
        if result.returncode != 0 or "ERROR:" in result.stderr:
            raise ServiceError(f"Postgres cannot prepare {data}: {last_words(result.stderr)}")

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _pid(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _forget_stranger(self) -> None:
        """Remove a pid file that names a live process of somebody else (ours would have been found).

        Postgres would take that process for a running server and refuse to start. A file that names no live
        process is left to Postgres, which also checks, with or without the file, that no child of the old
        server is left.
        """
        pid = self._pid()
        if pid is not None and psutil.pid_exists(pid):
            (self.data / "postmaster.pid").unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        return alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
