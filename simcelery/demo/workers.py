"""The demo's workers: real ones, started the way a user starts them, as separate processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LONGEST_WAIT = 20.0  # seconds that a worker has to exit


def start(count: int, home: Path, into: list[subprocess.Popen[bytes]]) -> None:
    """Start `count` workers with one slot each, in sessions of their own, and append each to `into`."""
    for number in range(1, count + 1):
        into.append(_start_one(f"demo{number}@%h", log_of(home, number)))


def log_of(home: Path, number: int) -> Path:
    """The log file of a worker."""
    return home / f"worker{number}.log"


def _start_one(nodename: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "simcelery", "worker", "-n", nodename, "-c", "1"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(workers: list[subprocess.Popen[bytes]]) -> None:
    """Ask the workers to exit, and kill those that do not."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(_LONGEST_WAIT)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
