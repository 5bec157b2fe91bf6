"""A command line as somebody sees it on a terminal, or reads it from a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path

from tests.acceptance.test_cli import FORKS, run_in_child
from tests.conftest import Project


def output(
    project: Project, arguments: list[str], terminal: bool, errors: bool = True, width: int | None = None
) -> str:
    """What a command line writes on stdout, and on stderr.

    Parameters:
        width: of the terminal, in cells; it then has 24 lines.
    """
    read, write = pty.openpty() if terminal else os.pipe()
    if width is not None:
        fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    path = Path(os.ttyname(write) if terminal else f"/proc/{os.getpid()}/fd/{write}")
    null = Path(os.devnull)
    given = (arguments, project.folder, project.environment, [null, path, path if errors else null])
    process = FORKS.Process(target=run_in_child, args=given)
    process.start()
    shown = b""
    deadline = time.monotonic() + 60
    while process.is_alive() or select.select([read], [], [], 0)[0]:
        assert time.monotonic() < deadline, f"{arguments} hangs"
        if select.select([read], [], [], 0.02)[0]:
            shown += os.read(read, 65536)
    process.join()
    os.close(read)
    os.close(write)
    assert process.exitcode in (0, 1, 2), f"{arguments}: {process.exitcode}: {shown.decode()}"
    return shown.decode()
