"""Servers of a benchmark's own, workers on them, and clocks. Nothing of the user's is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from simcelery import services, settings
from simcelery.board import engine, migrate

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
# Two partial indexes answer it: it costs next to nothing on any board.
ANYTHING_LEFT = """
SELECT EXISTS (SELECT FROM jobs WHERE state = 'pending') OR EXISTS (SELECT FROM jobs WHERE state = 'running')
"""


@dataclass
class Bench:
    """The servers of one run, and the processes that were started on them.

    Attributes:
        database_url, broker_url: the board and the broker of simcelery.
        peer_database_url, peer_broker_url: another database of the same Postgres and of the same Redis, for
            what simcelery is compared with.
    """

    folder: Path
    database_url: str
    broker_url: str
    peer_database_url: str
    peer_broker_url: str
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, *options: str, app: str = "simcelery", **extra: str) -> subprocess.Popen[bytes]:
        """Start ``celery worker`` of simcelery or of ``_plain``; returns when it consumes."""
        number = len(self.processes)
        log, ready = self.folder / f"worker{number}.log", self.folder / f"worker{number}.ready"
        slots = () if "-c" in options else ("-c", "2")
        command = [str(BIN / "celery"), "-A", app, "worker", "-n", f"w{number}@%h"]
        process = self.start([*command, *slots, *options], log, BENCH_READY=str(ready), **extra)
        wait_for(lambda: ready.exists() or process.poll() is not None, 60)
        if process.poll() is not None:
            raise RuntimeError(f"the worker did not start:\n{log.read_text()}")
        return process

    def start(self, command: Sequence[str], log: Path, **extra: str) -> subprocess.Popen[bytes]:
        """Start a process that ends with the run."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **extra},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def run(self, *command: str, **extra: str) -> str:
        """Run a command to its end; what it printed."""
        environment = {**self.environment, **extra}
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all processes that were started here."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(how)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def empty(self) -> None:
        """No rows, no messages; the tables as if new."""
        engine.dispose()
        self.sql("TRUNCATE jobs, workers, workflows RESTART IDENTITY CASCADE")
        self.sql("UPDATE recovery SET next_at = now(), last_by = NULL")
        redis.Redis.from_url(self.broker_url).flushall()

    def sql(self, statement: str, *values: object, url: str | None = None) -> list[tuple[Any, ...]]:
        """One statement in a transaction of its own; its rows."""
        with psycopg.connect(url or self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def drained(self, timeout: float = 600) -> None:
        """Wait until no job waits or runs."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            wait_for(lambda: connection.execute(ANYTHING_LEFT).fetchone() == (False,), timeout, 0.25)

    def messages(self) -> int:
        """How many messages of simcelery wait in Redis."""
        client = redis.Redis.from_url(self.broker_url)
        return sum(int(client.llen(name)) for name in client.scan_iter("default*", _type="list"))


@contextmanager
def bench(overrides: Mapping[str, object] | None = None) -> Iterator[Bench]:
    """Start the servers; this process and its workers use them. All is erased at the end."""
    for name in [name for name in os.environ if name.startswith("SIMCELERY_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="simcelery-bench-"))
    folder.chmod(0o755)  # the servers of root run as somebody else
    settings.override({"home": folder / "home", "workflows": ["_sims"], **(overrides or {})})
    running = services.up(settings.get_settings())
    settings.override({"database_url": running.database_url, "broker_url": running.broker_url})
    made = _bench(folder, running, overrides or {})
    try:
        migrate.upgrade()
        made.sql("CREATE DATABASE peers")
        yield made
    finally:
        made.stop()
        engine.dispose()
        services.erase(settings.get_settings())
        shutil.rmtree(folder, ignore_errors=True)


def _bench(folder: Path, running: services.Services, overrides: Mapping[str, object]) -> Bench:
    peer_broker_url = running.broker_url.rsplit("/", 1)[0] + "/1"
    ours = {f"SIMCELERY_{name.upper()}": str(value) for name, value in overrides.items()}
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "",  # whoever uses a package has it compiled
        "PATH": f"{BIN}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"),
        "SIMCELERY_HOME": str(folder / "home"),
        "SIMCELERY_WORKFLOWS": "_sims",
        "SIMCELERY_DATABASE_URL": running.database_url,
        "SIMCELERY_BROKER_URL": running.broker_url,
        "PLAIN_BROKER_URL": peer_broker_url,
        **ours,
    }
    return Bench(
        folder=folder,
        database_url=running.database_url,
        broker_url=running.broker_url,
        peer_database_url=running.database_url.rsplit("/", 1)[0] + "/peers",
        peer_broker_url=peer_broker_url,
        environment=environment,
    )


def wait_for(condition: Callable[[], object], timeout: float, every: float = 0.05) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s")
        time.sleep(every)


def cpu_of(process: psutil.Process) -> float:
    """Seconds of CPU that a process and its children have used so far, those that have ended included."""
    return _used(process) + sum(map(_used, process.children(recursive=True)))


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def seconds_of(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def middle_rate(moments: Sequence[float]) -> float:
    """Events per second between the tenth and the ninetieth of a hundred: no start-up, no tail."""
    ordered = sorted(moments)
    first, last = len(ordered) // 10, len(ordered) * 9 // 10
    return (last - first) / max(ordered[last] - ordered[first], 1e-3)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
