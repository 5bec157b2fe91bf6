"""A real Postgres with a standby that can take over: streaming replication on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from simcelery.services import programs
from simcelery.services.account import server_account
from simcelery.services.ports import choose_port
from simcelery.services.process import run_tool
from tests.waiting import wait_until

_NAME = "simcelery"
# Processes are killed here, not machines: what the kernel has been given stays.
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
fsync = off
jit = off
"""


class Pair:
    """Two servers: the second is a standby of the first, until it is promoted.

    Attributes:
        ports: of the first and the second.
        url: of a board on whichever takes writes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._account = server_account()
        self._bin = programs.postgres_bin(self._account)
        self.ports = choose_port(), choose_port()
        self.url = f"postgresql://{_NAME}@127.0.0.1:{self.ports[0]},127.0.0.1:{self.ports[1]}/{_NAME}"
        if self._account:  # Postgres does not run as root
            os.chown(folder, self._account.uid, self._account.gid)
        self._tool(
            "initdb", "-D", self._data(0), "-U", _NAME, "-A", "trust", "-N", "-E", "UTF8", "--no-locale"
        )
        with (self._data(0) / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION)
        self._start(0)
        self.execute(0, f"CREATE DATABASE {_NAME}", database="postgres")
        where = ("-h", "127.0.0.1", "-p", str(self.ports[0]), "-U", _NAME)
        self._tool("pg_basebackup", "-D", self._data(1), *where, "-R", "-c", "fast", "-N")
        self._start(1)
        wait_until(lambda: self.execute(0, "SELECT count(*) FROM pg_stat_replication") == [(1,)])

    def be_synchronous(self) -> None:
        """From now on nothing is committed that the standby does not have."""
        self.execute(0, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute(0, "SELECT pg_reload_conf()")
        synchronous = "SELECT sync_state FROM pg_stat_replication"
        wait_until(lambda: self.execute(0, synchronous) == [("sync",)])

    def wait_for_standby(self) -> None:
        """Until it has all that was committed."""
        behind = "SELECT pg_current_wal_lsn() <= replay_lsn FROM pg_stat_replication"
        wait_until(lambda: self.execute(0, behind) == [(True,)])

    def cut(self) -> None:
        """From now on the standby gets nothing new: what sends it is stopped."""
        [(sender,)] = self.execute(0, "SELECT pid FROM pg_stat_replication")
        os.kill(sender, signal.SIGSTOP)

    @contextmanager
    def frozen_standby(self) -> Iterator[None]:
        """It answers nothing, and confirms nothing, for as long as the block lasts."""
        server = self._server(1)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def kill(self, which: int) -> None:
        """kill -9 of all its processes at once, as when its node dies."""
        server = self._server(which)
        server.suspend()
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, 30)

    def promote(self) -> None:
        """The standby takes over."""
        assert self.execute(1, "SELECT pg_promote()") == [(True,)]

    def execute(
        self, which: int, statement: str, *values: object, database: str = _NAME
    ) -> list[tuple[object, ...]]:
        """The rows of a statement on one of the two."""
        place = f"postgresql://{_NAME}@127.0.0.1:{self.ports[which]}/{database}"
        with psycopg.connect(place, autocommit=True) as connection:
            found = connection.execute(statement.encode(), values)
            return found.fetchall() if found.description else []

    def _server(self, which: int) -> psutil.Process:
        return psutil.Process(int((self._data(which) / "postmaster.pid").read_text().split()[0]))

    def _data(self, which: int) -> Path:
        return self._folder / f"data{which}"

    def _start(self, which: int) -> None:
        options = f"-c port={self.ports[which]}"
        data = self._data(which)
        self._tool("pg_ctl", "-D", data, "-l", data.with_suffix(".log"), "-o", options, "-w", "start")

    def _tool(self, name: str, *words: str | Path) -> None:
        done = run_tool([self._bin / name, *words], self._account)
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self) -> None:
        """End what was started here."""
        for which in (0, 1):
            with suppress(OSError, psutil.NoSuchProcess):
                self.kill(which)


@contextmanager
def pair() -> Iterator[Pair]:
    """For as long as the block lasts. It has no folder of a test, which root's servers could not enter."""
    folder = Path(tempfile.mkdtemp(prefix="simcelery-pair-"))
    made = None
    try:
        made = Pair(folder)
        yield made
    finally:
        if made is not None:
            made.end()
        shutil.rmtree(folder)
