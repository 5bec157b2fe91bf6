"""Real workers: processes of ``celery -A simcelery worker``, as in production."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from simcelery.errors import ServiceError
from simcelery.execution.processes import is_over
from simcelery.settings import get_settings
from simcelery.workflows import registry

_TO_START, _TO_STOP, _TO_DIE = 60.0, 20.0, 20.0  # seconds; a machine may have much else to do


class RealWorker:
    """One process of ``celery -A simcelery worker`` and its pool.

    Attributes:
        pid: of the worker's parent process.
        folder: with its log, ``worker.log``.
    """

    def __init__(self, folder: Path, options: Sequence[str], environment: Mapping[str, str]) -> None:
        folder.mkdir()
        self.folder = folder
        slots = () if "-c" in options or "--concurrency" in options else ("-c", "1")
        words = [sys.executable, "-m", "celery", "-A", "simcelery", "worker", "-l", "INFO"]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*words, "-n", f"{folder.name}@%h", *slots, *options],
                env={**os.environ, **_to_find_workflows(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def _log(self) -> Path:
        return self.folder / "worker.log"

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether its parent process still runs."""
        return self._process.poll() is None

    def await_ready(self) -> None:
        """Wait until it takes jobs.

        Raises:
            ServiceError: it does not start; the message quotes its log.
        """
        until = time.monotonic() + _TO_START
        while " ready." not in self.log():
            if not self.is_alive() or time.monotonic() > until:
                raise ServiceError(f"the worker does not start: {self.log()[-2000:].strip()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to shut down, and wait: running jobs have ``shutdown_grace`` to end."""
        self._process.terminate()
        self._process.wait(_TO_STOP)

    def kill(self) -> None:
        """Kill it and its pool with SIGKILL, as a power cut would: it tells the board nothing."""
        end([self._process])


class Process(Protocol):
    """As much of `subprocess.Popen` as it takes to end it."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Nothing happens when it has ended."""

    def wait(self) -> int:
        """Its exit code, when it has ended."""


def end(processes: Sequence[Process]) -> None:
    """Kill workers and all that descends from them, at once."""
    living = [process for process in processes if process.poll() is None]
    for process in living:
        process.send_signal(signal.SIGSTOP)  # it starts nothing more
    # Its reaper goes with them: it would give them a grace that nobody waits for.
    left = [one for process in living for one in _descendants(process.pid)]
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    for process in living:
        process.send_signal(signal.SIGKILL)
        process.wait()
    until = time.monotonic() + _TO_DIE  # init may take seconds to collect them
    while not all(map(is_over, left)) and time.monotonic() < until:
        time.sleep(0.01)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _to_find_workflows() -> dict[str, str]:
    """A worker knows what the settings name and what this process has imported, wherever it found that."""
    here = (known.function.__module__ for known in registry.definitions())
    modules = [*get_settings().workflows, *filter(_can_be_imported, here)]
    paths = [os.path.abspath(path) for path in sys.path]
    return {"SIMCELERY_WORKFLOWS": " ".join(dict.fromkeys(modules)), "PYTHONPATH": os.pathsep.join(paths)}


def _can_be_imported(module: str) -> bool:
    try:
        return module != "__main__" and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
