"""Clients' Python code, each in a process of its own that begins with everything imported.

To import Celery, SQLAlchemy and the rest takes a second, and tests submit many hundred times.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import IO

_one_at_a_time = threading.Lock()


@lru_cache(maxsize=1)
def _server() -> subprocess.Popen[str]:
    # It ends with this process, whose end closes its input.
    command = [sys.executable, "-m", "tests.client_server"]
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def run(
    code: str, folder: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run` of ``python -c``, with text captured."""
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err, _one_at_a_time:
        order = {"code": code, "folder": str(folder), "environment": environment}
        order |= {"stdout": out.name, "stderr": err.name}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(order) + "\n")
        pid = int(server.stdout.readline())
        ended = bool(select.select([server.stdout], [], [], timeout)[0])
        if not ended:
            os.kill(pid, signal.SIGKILL)
        status = int(server.stdout.readline())
        if not ended:
            raise subprocess.TimeoutExpired("python", timeout, _read(out), _read(err))
        return subprocess.CompletedProcess(["python", "-c", code], status, _read(out), _read(err))


def _read(file: IO[str]) -> str:
    return Path(file.name).read_text()
