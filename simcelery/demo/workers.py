"""The workers of the demo: real ones, as a user starts them, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simcelery.settings import Settings

_PATIENCE = 30.0  # seconds that a worker is given to end


def start(count: int, settings: Settings) -> list[subprocess.Popen[bytes]]:
    """Start `count` workers with one slot each, in sessions of their own; their logs are in ``home/demo``."""
    logs = settings.home / "demo"
    logs.mkdir(parents=True, exist_ok=True)
    return [
        _start_one(f"demo{number}@%h", logs / f"worker{number}.log", settings)
        for number in range(1, count + 1)
    ]


def _start_one(nodename: str, log: Path, settings: Settings) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "SIMCELERY_HOME": str(settings.home)}
    # What flags said here must hold there as well.
    for name in ("database_url", "broker_url"):
        if (url := getattr(settings, name)) is not None:
            environment[f"SIMCELERY_{name.upper()}"] = url.get_secret_value()
    with log.open("wb") as output:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "simcelery",
                "worker",
                "-n",
                nodename,
                "-c",
                "1",
                "-l",
                "INFO",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(workers: list[subprocess.Popen[bytes]]) -> None:
    """Ask them to end, and end those that do not."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


@contextmanager
def running(count: int, settings: Settings, *, keep: bool) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers for the length of a block; they stay if `keep` is set and the block succeeds."""
    workers = start(count, settings)
    try:
        yield workers
    except BaseException:
        stop(workers)
        raise
    if not keep:
        stop(workers)
