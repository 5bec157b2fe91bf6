"""The programs that tests start: `simcelery`, `celery` and `python`, each in a process of its own.

To import Celery, SQLAlchemy and the rest takes a second or two, and tests start programs two thousand times.
So most are forks of a process that has imported everything (`forks`), and run the same script with the same
arguments. A test with the marker ``installed_programs`` starts what a user does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeAlias

BIN = Path(sys.executable).parent
PROGRAMS = ("simcelery", "celery")
# What is read when something runs, and not when it is imported.
READ_LATER = (
    *("SIMCELERY_", "PYTEST_", "PATH", "TERM", "COLUMNS", "LINES"),
    *("BROKEN_NODE", "STARTED", "DEAF", "FAKE_SCHEDULER", "SLURM_"),
    "KMP_",  # set by what a test imports
)
# A test may have set something for itself when it starts the first program.
_AT_FIRST = dict(os.environ)

installed_only = False  # set for each test


class Fork:
    """As much of `subprocess.Popen` as tests use."""

    def __init__(self, argv: list[str], answer: IO[bytes]) -> None:
        self.args = argv
        self.returncode: int | None = None
        self._answer = answer
        self.pid = int(answer.readline())

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None and self._answered(0):
            self.returncode = int(self._answer.readline())
            self._answer.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None and not self._answered(timeout):
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _answered(self, timeout: float | None) -> bool:
        return bool(select.select([self._answer], [], [], timeout)[0])


Process: TypeAlias = subprocess.Popen[Any] | Fork


class _Server:
    """One program's process that forks. It ends with this process, whose end closes its socket."""

    def __init__(self, program: str) -> None:
        self.environment = _without_settings(_AT_FIRST)
        self._orders, theirs = socket.socketpair()
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", "tests.forks", program],
                cwd=Path(__file__).parents[1],
                env=self.environment,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
            )

    def takes(self, environment: dict[str, str]) -> bool:
        """Whether whatever differs is read by our own code, and by no library or interpreter that begins."""
        return _without_settings(environment) == _without_settings(self.environment)

    def start(self, order: dict[str, Any], *streams: IO[Any]) -> Fork:
        ours, theirs = os.pipe()
        with tempfile.TemporaryFile() as written, open(theirs, "wb") as answer:
            written.write(json.dumps(order).encode())
            written.seek(0)
            files = [file.fileno() for file in (written, *streams, answer)]
            socket.send_fds(self._orders, [b"."], files)
        return Fork(order["argv"], open(ours, "rb", buffering=0))


def _without_settings(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATER)}


_server = lru_cache(_Server)


def start(
    argv: list[str],
    folder: Path,
    environment: dict[str, str],
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
) -> Process:
    """Start one of the programs; errors go where the output goes if nothing else is said."""
    with open(os.devnull, "r+") as nothing:
        out = stdout or nothing
        streams = nothing, out, stderr or out
        code = argv[2] if argv[:2] == ["python", "-c"] else None
        known = code is not None or argv[0] in PROGRAMS
        if installed_only or not known or not _server(argv[0]).takes(environment):
            program = [str(BIN / argv[0]), *argv[1:]]
            names = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
            return subprocess.Popen(program, cwd=folder, env=environment, **names)
        words = [str(BIN / argv[0]), *argv[1:]] if code is None else ["-c", *argv[3:]]
        order = {"argv": words, "code": code}
        order |= {"folder": str(folder), "environment": environment}
        return _server(argv[0]).start(order, *streams)


def run(
    argv: list[str], folder: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run`, with text captured."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start(argv, folder, environment, out, err)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired as late:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(argv, timeout, _text(out), _text(err)) from late
        return subprocess.CompletedProcess(argv, status, _text(out), _text(err))


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
